// Deadlines by name: setting one again moves it. Time is milliseconds since the page began, and never goes back.

export function now(): number {
  return performance.now();
}

export class Timers {
  private readonly handles = new Map<string, ReturnType<typeof setTimeout>>();

  set(name: string, at: number, act: () => void): void {
    this.cancel(name);
    const handle = setTimeout(
      () => {
        this.handles.delete(name);
        act();
      },
      Math.max(0, at - now()),
    );
    this.handles.set(name, handle);
  }

  cancel(name: string): void {
    clearTimeout(this.handles.get(name));
    this.handles.delete(name);
  }

  has(name: string): boolean {
    return this.handles.has(name);
  }

  /** All whose name begins so. */
  cancelAll(prefix = ''): void {
    for (const name of [...this.handles.keys()]) {
      if (name.startsWith(prefix)) {
        this.cancel(name);
      }
    }
  }
}
