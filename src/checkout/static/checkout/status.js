// The return page while a payment is being processed: looks again by itself, less and less often. A courtesy; nothing
// depends on it.
(() => {
  "use strict";
  const place = document.getElementById("checkout-poll");
  if (!place) return;
  const until = Date.now() + 10 * 60 * 1000;
  let wait = 1500;

  const look = async () => {
    try {
      const answer = document.hidden ? null : await fetch(place.dataset.url, { cache: "no-store" });
      if (answer && answer.status === 404) return; // this visit may not look any more
      if (answer && answer.ok && !(await answer.json()).processing) {
        location.reload();
        return;
      }
    } catch {
      // No connection for a moment; the next look may find it.
    }
    wait = Math.min(wait * 1.4, 20000);
    if (Date.now() < until) setTimeout(look, wait);
  };
  setTimeout(look, wait);
})();
