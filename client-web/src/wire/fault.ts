// What a peer can do wrong, as values: the only thing that reading bytes ever throws.

/** Why bytes are not what the protocol says; the names are those of the protocol's error codes. */
export type FaultName =
  | 'bad_frame'
  | 'frame_too_large'
  | 'unknown_type'
  | 'invalid_body'
  | 'unexpected_frame'
  | 'bad_value';

const CODES: Record<FaultName, number> = {
  bad_frame: 3500,
  frame_too_large: 3501,
  unknown_type: 3502,
  invalid_body: 3503,
  unexpected_frame: 3505,
  bad_value: 3506,
};

/** The peer's bytes break the protocol. Nothing of them was used. */
export class Fault extends Error {
  readonly code: number;

  constructor(
    readonly fault: FaultName,
    message: string,
  ) {
    super(message);
    this.name = 'Fault';
    this.code = CODES[fault];
  }
}
