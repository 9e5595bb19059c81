/** What a page of ours must have. */
export function find<T extends Element>(selector: string): T {
  const element = document.querySelector<T>(selector);
  if (!element) throw new Error(`the page has no ${selector}`);
  return element;
}

/** Copy, and say on the button whether it could be done: there is no clipboard without HTTPS. */
export async function copyFrom(button: HTMLButtonElement, text: string, select: () => void): Promise<void> {
  select();
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Press Ctrl-C";
  }
}
