// Menus that show their choice at once, and the theme; everything else works without scripts.
document.querySelectorAll("[data-submits]").forEach((menu) => menu.addEventListener("change", () => menu.form.requestSubmit()));
const page = document.documentElement;
const kept = (() => { try { return localStorage.getItem("theme"); } catch { return null; } })();
if (kept) page.dataset.theme = kept;
document.getElementById("theme").addEventListener("click", () => {
  page.dataset.theme = page.dataset.theme === "dark" ? "light" : "dark";
  try { localStorage.setItem("theme", page.dataset.theme); } catch { /* private windows keep nothing */ }
  document.dispatchEvent(new Event("themed"));
});
