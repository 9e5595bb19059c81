/** Light, dark, or what the reader's system says. */

const KEY = "run-code:theme";
const THEMES = ["auto", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

export function asTheme(text: string | null): Theme {
  return THEMES.find((theme) => theme === text) ?? "auto";
}

export function storedTheme(): Theme {
  try {
    return asTheme(localStorage.getItem(KEY));
  } catch {
    return "auto";
  }
}

export function storeTheme(theme: Theme): void {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // it holds until the page is left
  }
}

export function applyTheme(theme: Theme): void {
  for (const element of [document.documentElement, ...document.querySelectorAll("run-code, run-notebook, lab-code")]) {
    if (theme === "auto") element.removeAttribute("theme");
    else element.setAttribute("theme", theme);
  }
}

export function after(theme: Theme): Theme {
  return THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? "auto";
}

/** Have the page's button go through the themes. */
export function installThemeButton(): void {
  const button = document.querySelector("#theme");
  const set = (theme: Theme): void => {
    applyTheme(theme);
    if (button) button.textContent = `Theme: ${theme}`;
  };
  button?.addEventListener("click", () => {
    const theme = after(storedTheme());
    storeTheme(theme);
    set(theme);
  });
  set(storedTheme());
}
