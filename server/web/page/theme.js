// Before the first paint, so that the page never flashes in the wrong theme.
try {
  const theme = localStorage.getItem('chat/theme');
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // no storage: the system's theme
}
