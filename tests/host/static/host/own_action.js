function doSuccessAction() {
  document.getElementById("own-result").textContent = "Ours went well, and leads to " + success_url;
}
