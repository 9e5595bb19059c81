/** The addresses of the pages, relative to the service's. */

function address(page: string, parameters: Record<string, string>): string {
  const query = new URLSearchParams(parameters).toString();
  return query ? `${page}?${query}` : page;
}

export function courseAddress(course: string): string {
  return address("labs", { course });
}

export function labAddress(course: string, lab: string): string {
  return address("labs", { course, lab });
}

export function teachAddress(course?: string, lab?: string): string {
  return address("teach", { ...(course === undefined ? {} : { course }), ...(lab === undefined ? {} : { lab }) });
}

export function dashboardAddress(course: string): string {
  return address("dashboard", { course });
}
