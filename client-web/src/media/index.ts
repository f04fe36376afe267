// Files beside messages, uploaded with resume, downloaded by who may see them, named by their content.
//
// ```text
//   file -> Upload (tus 1.0.0) -> server          attachmentBody -> the body of a message of kind Media
//   Blob <- Media.read        <- server           attachmentOf   <- Message
// ```
//
// Over HTTP, and apart from the connection that messages take: a long transfer delays no message, and one goes on after the
// other broke. Absent: which file may be shown (the application knows), and hashing (the server does it; each piece has a
// checksum where the browser lends one).

export { type Attachment, attachmentBody, attachmentOf, fileName } from './attachment.js';
export { MediaError } from './error.js';
export { Media, type MediaOptions, type Progress, type ReadOptions } from './media.js';
export { type TransferOptions, Upload, type UploadOptions } from './upload.js';
