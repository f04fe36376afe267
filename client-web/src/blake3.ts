// BLAKE3 in key-derivation mode for inputs of one chunk (1,024 bytes), which names of 256 bytes are. Tests compare it with
// @noble/hashes, which does all of BLAKE3 and weighs 3.3 KiB compressed, an eighth of what this library promises to weigh.

const CHUNK_BYTES = 1024;
const BLOCK_BYTES = 64;

const CHUNK_START = 1;
const CHUNK_END = 2;
const ROOT = 8;
const DERIVE_KEY_CONTEXT = 32;
const DERIVE_KEY_MATERIAL = 64;

const IV = Uint32Array.of(
  ...[0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19],
);
/** How the words of a block are moved between two rounds. */
const PERMUTATION = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
/** The four columns, then the four diagonals. */
const LANES = ['048c', '159d', '26ae', '37bf', '05af', '16bc', '278d', '349e'].map((lane) =>
  [...lane].map((digit) => Number.parseInt(digit, 16)),
);

/** 32 bytes that depend on the context and the material. */
export function deriveKey(context: Uint8Array, material: Uint8Array): Uint8Array {
  const key = hash(IV, context, DERIVE_KEY_CONTEXT);
  const words = hash(key, material, DERIVE_KEY_MATERIAL);
  const bytes = new Uint8Array(32);
  const view = new DataView(bytes.buffer);
  words.forEach((word, index) => view.setUint32(4 * index, word, true));
  return bytes;
}

/** The chunk's blocks, chained; the last one is the root. */
function hash(key: Uint32Array, input: Uint8Array, mode: number): Uint32Array {
  if (input.length > CHUNK_BYTES) {
    throw new RangeError(`${input.length} bytes, of at most ${CHUNK_BYTES}`);
  }
  let chaining = key;
  const last = Math.max(0, Math.ceil(input.length / BLOCK_BYTES) - 1);
  for (let index = 0; index <= last; index += 1) {
    const part = input.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES);
    const block = new Uint8Array(BLOCK_BYTES);
    block.set(part);
    const flags = mode | (index === 0 ? CHUNK_START : 0) | (index === last ? CHUNK_END | ROOT : 0);
    chaining = compress(chaining, new DataView(block.buffer), part.length, flags);
  }
  return chaining;
}

function compress(chaining: Uint32Array, block: DataView, length: number, flags: number): Uint32Array {
  let words = Array.from({ length: 16 }, (_, index) => block.getUint32(4 * index, true));
  const state = Uint32Array.of(...chaining, ...IV.subarray(0, 4), 0, 0, length, flags);
  for (let round = 0; round < 7; round += 1) {
    LANES.forEach(([a, b, c, d], lane) => {
      mix(state, a!, b!, c!, d!, words[2 * lane]!, words[2 * lane + 1]!);
    });
    words = PERMUTATION.map((from) => words[from]!);
  }
  return state.slice(0, 8).map((word, index) => word ^ state[index + 8]!);
}

function mix(state: Uint32Array, a: number, b: number, c: number, d: number, x: number, y: number): void {
  const half = (word: number, first: number, second: number) => {
    state[a] = state[a]! + state[b]! + word;
    state[d] = rotate(state[d]! ^ state[a]!, first);
    state[c] = state[c]! + state[d]!;
    state[b] = rotate(state[b]! ^ state[c]!, second);
  };
  half(x, 16, 12);
  half(y, 8, 7);
}

function rotate(word: number, bits: number): number {
  return (word >>> bits) | (word << (32 - bits));
}
