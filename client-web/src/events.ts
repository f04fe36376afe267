// Who wants to know what. A handler that throws is reported like any uncaught error, and stops nobody else.

/** Handlers by the name of what happens. */
export class Emitter<Events> {
  private readonly handlers = new Map<keyof Events, Set<(event: never) => void>>();

  /** Calls the handler whenever this happens. Returns what ends that; so does the signal. */
  on<Name extends keyof Events>(
    name: Name,
    handler: (event: Events[Name]) => void,
    options: { readonly signal?: AbortSignal } = {},
  ): () => void {
    const off = () => {
      this.handlers.get(name)?.delete(handler);
    };
    if (options.signal?.aborted) {
      return off;
    }
    let handlers = this.handlers.get(name);
    if (!handlers) {
      handlers = new Set();
      this.handlers.set(name, handlers);
    }
    handlers.add(handler);
    options.signal?.addEventListener('abort', off, { once: true });
    return off;
  }

  protected emit<Name extends keyof Events>(name: Name, event: Events[Name]): void {
    for (const handler of [...(this.handlers.get(name) ?? [])] as ((event: Events[Name]) => void)[]) {
      try {
        handler(event);
      } catch (error) {
        report(error);
      }
    }
  }
}

function report(error: unknown): void {
  if (typeof reportError === 'function') {
    return reportError(error);
  }
  queueMicrotask(() => {
    throw error;
  });
}
