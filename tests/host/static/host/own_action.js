// oxlint-disable-next-line no-unused-vars -- elements.js calls it by its name
function doSuccessAction() {
  document.getElementById("own-result").textContent = "Ours went well, and leads to " + success_url;
}
