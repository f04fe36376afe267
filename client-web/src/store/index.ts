// Where unacknowledged publishes survive a reload, and which device this page is.
//
// ```text
//   claim: the slot this tab had before its reload | one with publishes that wait | a free one | a new one
// ```
//
// A device id belongs to one running page (W-27), so each page holds a Web Lock on its own; what a closed page left
// unsent is taken over by the next one. Where storage is denied or full, everything goes on in memory, and the caller is
// told: then a reload loses what is not acknowledged.

import { type Id, isId, randomId } from '../ids.js';
import { IndexedStore } from './indexed.js';

/** One publish, as it is kept. */
export interface StoredPublish {
  readonly device: Id;
  readonly id: number;
  readonly conversation: Id;
  readonly name: string;
  readonly kind: number;
  readonly reference: number;
  readonly body: Uint8Array;
  readonly createdMs: number;
  readonly number: number;
}

/** A place that keeps publishes. `put` and `remove` of the same key take effect in the order of the calls. */
export interface OutboxStore {
  put(publishes: readonly StoredPublish[]): Promise<void>;
  remove(device: Id, ids: readonly number[]): Promise<void>;
  close(): void;
}

/** What a page has claimed. */
export interface Claim {
  readonly device: Id;
  /** `undefined`: in memory only. */
  readonly store: OutboxStore | undefined;
  readonly restored: readonly StoredPublish[];
  /** Why there is no store, if there is none. */
  readonly trouble: unknown;
  release(): void;
}

/** How long a page waits for the lock that the page before its reload still holds. */
const RELOAD_WAIT = 1_000;

/** Claims a device of this account for this page. Never fails: without storage it is a device in memory. */
export async function claim(account: string): Promise<Claim> {
  const remembered = `ringwire device ${account}`;
  let store: IndexedStore | undefined;
  try {
    store = await IndexedStore.open();
    const slot = await choose(store, account, recall(remembered));
    const restored = await store.load(slot.device);
    remember(remembered, slot.device);
    return { ...slot, store, restored, trouble: undefined };
  } catch (trouble) {
    store?.close();
    const before = recall(remembered);
    const device = before && (await lock(account, before, RELOAD_WAIT));
    const slot = device || (await fresh(account));
    remember(remembered, slot.device);
    return { ...slot, store: undefined, restored: [], trouble };
  }
}

interface Slot {
  readonly device: Id;
  release(): void;
}

async function choose(store: IndexedStore, account: string, before: Id | undefined): Promise<Slot> {
  const { devices, pending } = await store.devices(account);
  if (before) {
    const slot = await lock(account, before, RELOAD_WAIT);
    if (slot) {
      return kept(store, account, devices, slot);
    }
  }
  if (typeof navigator !== 'undefined' && navigator.locks) {
    const waiting = devices.filter((device) => pending.has(device));
    for (const device of [...waiting, ...devices.filter((device) => !pending.has(device))]) {
      const slot = await lock(account, device, 0);
      if (slot) {
        return slot;
      }
    }
  }
  // Without locks nobody could say whether another page is one of the known devices: this page is a new one.
  return kept(store, account, devices, await fresh(account));
}

async function kept(store: IndexedStore, account: string, known: readonly Id[], slot: Slot): Promise<Slot> {
  if (!known.includes(slot.device)) {
    await store.addDevice(account, slot.device);
  }
  return slot;
}

async function fresh(account: string): Promise<Slot> {
  const device = randomId();
  return (await lock(account, device, 0)) ?? { device, release: () => {} };
}

/** Holds the lock of this device until it is released or the page goes; `undefined`: somebody else has it. */
function lock(account: string, device: Id, waitMs: number): Promise<Slot | undefined> {
  if (typeof navigator === 'undefined' || !navigator.locks) {
    return Promise.resolve({ device, release: () => {} });
  }
  return new Promise((resolve) => {
    const hold = (held: Lock | null) => {
      if (!held) {
        resolve(undefined);
        return undefined;
      }
      return new Promise<void>((release) => {
        resolve({ device, release });
      });
    };
    const options = waitMs > 0 ? { signal: AbortSignal.timeout(waitMs) } : { ifAvailable: true };
    navigator.locks.request(`ringwire ${account} ${device}`, options, hold).catch(() => {
      resolve(undefined);
    });
  });
}

/** Of this tab, over reloads; a page that may not keep anything is a new device each time. */
function recall(key: string): Id | undefined {
  try {
    const device = sessionStorage.getItem(key);
    return device && isId(device) ? device : undefined;
  } catch {
    return undefined;
  }
}

function remember(key: string, device: Id): void {
  try {
    sessionStorage.setItem(key, device);
  } catch {
    // Then the next page of this tab is another device, which costs a resume from the server's word.
  }
}
