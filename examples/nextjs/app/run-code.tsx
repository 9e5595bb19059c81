"use client";

import { type DetailedHTMLProps, type HTMLAttributes, useEffect } from "react";

declare module "react" {
  namespace JSX {
    interface IntrinsicElements {
      "run-code": DetailedHTMLProps<HTMLAttributes<HTMLElement>, HTMLElement> & {
        endpoint?: string;
        timeout?: number;
        storage?: string;
        transport?: "auto" | "websocket" | "sse";
        label?: string;
      };
    }
  }
}

/** The button. Route handlers carry no WebSockets, so that it asks for events over HTTP. */
export function RunCode({ children, label, timeout = 10 }: { children: string; label: string; timeout?: number }) {
  useEffect(() => {
    void import("run-code-element"); // a custom element needs a browser
  }, []);
  return (
    <run-code endpoint="/api/execute" transport="sse" timeout={timeout} label={label}>
      {children}
    </run-code>
  );
}
