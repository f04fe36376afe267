// IndexedDB: publishes by device and id, devices by account. Every promise here settles, and what fails is a rejection: the
// methods are async because the browser throws at once where a database was closed or is full.

import type { Id } from '../ids.js';
import type { OutboxStore, StoredPublish } from './index.js';

const NAME = 'ringwire';
const PUBLISHES = 'publishes';
const DEVICES = 'devices';
/** A browser that answers nothing (it happens in private windows) must not keep the client from connecting. */
const OPEN_TIMEOUT = 3_000;

export class IndexedStore implements OutboxStore {
  private constructor(private readonly database: IDBDatabase) {
    // Another page may want a newer layout: this one goes on in memory rather than standing in its way.
    database.onversionchange = () => {
      database.close();
    };
  }

  static open(): Promise<IndexedStore> {
    return new Promise((resolve, reject) => {
      const request = indexedDB.open(NAME, 1);
      const timer = setTimeout(() => {
        reject(new Error('the browser does not open its storage'));
      }, OPEN_TIMEOUT);
      request.onupgradeneeded = () => {
        request.result.createObjectStore(PUBLISHES, { keyPath: ['device', 'id'] });
        request.result.createObjectStore(DEVICES, { keyPath: ['account', 'device'] });
      };
      request.onsuccess = () => {
        clearTimeout(timer);
        resolve(new IndexedStore(request.result));
      };
      request.onerror = () => {
        clearTimeout(timer);
        reject(request.error);
      };
    });
  }

  /** The devices of this account, and those of any account that have publishes. */
  async devices(account: string): Promise<{ devices: Id[]; pending: Set<Id> }> {
    const keys = IDBKeyRange.bound([account], [account, []]);
    const transaction = this.database.transaction([DEVICES, PUBLISHES]);
    const devices = transaction.objectStore(DEVICES).getAllKeys(keys);
    const publishes = transaction.objectStore(PUBLISHES).getAllKeys();
    await finished(transaction);
    const second = (key: IDBValidKey) => (key as [string, string])[1];
    const first = (key: IDBValidKey) => (key as [string, number])[0];
    return { devices: devices.result.map(second), pending: new Set(publishes.result.map(first)) };
  }

  async addDevice(account: string, device: Id): Promise<void> {
    const transaction = this.database.transaction(DEVICES, 'readwrite');
    transaction.objectStore(DEVICES).put({ account, device });
    await finished(transaction);
  }

  /** What this device has not had acknowledged, in the order of ids. */
  async load(device: Id): Promise<StoredPublish[]> {
    const transaction = this.database.transaction(PUBLISHES);
    const all = transaction.objectStore(PUBLISHES).getAll(IDBKeyRange.bound([device], [device, []]));
    await finished(transaction);
    return all.result as StoredPublish[];
  }

  async put(publishes: readonly StoredPublish[]): Promise<void> {
    const transaction = this.database.transaction(PUBLISHES, 'readwrite');
    for (const publish of publishes) {
      transaction.objectStore(PUBLISHES).put(publish);
    }
    await finished(transaction);
  }

  async remove(device: Id, ids: readonly number[]): Promise<void> {
    const transaction = this.database.transaction(PUBLISHES, 'readwrite');
    for (const id of ids) {
      transaction.objectStore(PUBLISHES).delete([device, id]);
    }
    await finished(transaction);
  }

  close(): void {
    this.database.close();
  }
}

function finished(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => {
      resolve();
    };
    transaction.onabort = () => {
      reject(transaction.error ?? new Error('the browser gave the storage up'));
    };
    transaction.onerror = () => {
      reject(transaction.error);
    };
  });
}
