// Milliseconds from the start of the navigation to the first frame that shows a row of a board.
const look = () => {
  if (document.querySelectorAll(".gs-row").length > 0) {
    window.firstFrameWithRows = performance.now();
    return;
  }
  requestAnimationFrame(look);
};
requestAnimationFrame(look);
