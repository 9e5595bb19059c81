"use client";

import { type DetailedHTMLProps, type HTMLAttributes, useEffect, useRef } from "react";

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

type Props = { children: string; label: string; timeout?: number; storage?: string; changed?: (code: string) => void };

/** The button. Route handlers carry no WebSockets, so that it asks for events over HTTP. */
export function RunCode({ children, label, timeout = 10, storage, changed }: Props) {
  const element = useRef<HTMLElement>(null);
  useEffect(() => {
    void import("run-code-element"); // a custom element needs a browser
  }, []);
  useEffect(() => {
    const { current } = element;
    const tell = (event: Event) => changed?.((event as CustomEvent<{ code: string }>).detail.code);
    current?.addEventListener("code-change", tell);
    return () => current?.removeEventListener("code-change", tell);
  }, [changed]);
  return (
    <run-code ref={element} endpoint="/api/execute" transport="sse" timeout={timeout} label={label} storage={storage}>
      {children}
    </run-code>
  );
}
