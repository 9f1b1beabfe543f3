// Settles what "auto" is before anything is painted, and follows the system until the reader has chosen.
const scheme = matchMedia("(prefers-color-scheme: dark)");
const followsSystem = document.documentElement.dataset.theme === "auto";
if (followsSystem) document.documentElement.dataset.theme = scheme.matches ? "dark" : "light";
