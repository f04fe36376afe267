// @ringwire/client: conversations in exact order, publishes that happen once, over any interruption, and files beside them.

export { Client, type ClientEvents, type ClientOptions, type JoinOptions } from './client.js';
export { CODES_KNOWN, codeName, retryOf, type Retry } from './codes.js';
export type { TokenProvider, Welcome } from './connection.js';
export {
  ConversationKind,
  type History,
  Kind,
  type Message,
  PresenceState,
  type Published,
  Role,
  type Sending,
  type Start,
} from './content.js';
export { type CallOptions, Conversation, type HistoryOptions } from './conversation.js';
export { RingwireError, type ErrorKind } from './error.js';
export type { GapCause } from './feed.js';
export { type Id, conversationId, deviceId, userId } from './ids.js';
export * from './media/index.js';
export { Timeline, type TimelineEntry } from './timeline.js';
export { type Link, type LinkEvents, type Transport, webSocket } from './transport.js';
export { type WebTransportChoice, webTransportFirst } from './webtransport.js';
export type { InboxEntry, Member, MembershipBody } from './wire/read.js';
