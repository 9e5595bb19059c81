/**
 * The learner token of whoever came by a link that has one: `#token=…`, a fragment, which browsers send to nobody. It
 * is kept while this tab is open, and taken out of the address, which people copy.
 */

const KEPT = "code-executor:token";

/** Take the token out of the address if there is one, and return this tab's token; null: there is none. */
export function takeToken(): string | null {
  const [, token] = /^#token=([\w.-]+)$/.exec(location.hash) ?? [];
  if (token) {
    keepToken(token);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return token ?? kept();
}

/** Give this tab's token to the element. */
export function letIn(element: Element): void {
  const known = takeToken();
  if (known) element.setAttribute("token", known);
}

function kept(): string | null {
  try {
    return sessionStorage.getItem(KEPT);
  } catch {
    return null; // a browser that keeps nothing
  }
}

/** Keep a token while this tab is open. */
export function keepToken(token: string): void {
  try {
    sessionStorage.setItem(KEPT, token);
  } catch {
    return; // then this page has it, and the next has not
  }
}
