// A page that waits for an answer of the bank: looks again by itself, less and less often, and at once when the payer
// comes back to it (from the bank's app, say). A courtesy; nothing depends on it, and the link beside it does the same.
(() => {
  "use strict";
  const place = document.getElementById("checkout-poll");
  if (!place) return;
  const until = Date.now() + 10 * 60 * 1000;
  let wait = 1500;
  let timer;

  const stop = () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", look);
    place.hidden = true;
  };
  const look = async () => {
    clearTimeout(timer);
    if (document.hidden) return;
    try {
      const answer = await fetch(place.dataset.url, { cache: "no-store" });
      if (answer.status === 404) return stop(); // this visit may not look any more
      if (answer.ok && !(await answer.json()).processing) return location.reload();
    } catch {
      // No connection for a moment; the next look may find it.
    }
    if (Date.now() > until) return stop();
    wait = Math.min(wait * 1.4, 20000);
    clearTimeout(timer);
    timer = setTimeout(look, wait);
  };

  place.hidden = false;
  timer = setTimeout(look, wait);
  document.addEventListener("visibilitychange", look);
})();
