//! Bytes of a request on their way into the spool, and what is read back from there at the end.

use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::hash::{Checksum, ObjectId};
use super::kind::SNIFF_BYTES;
use super::spool::{Upload, Writer};
use crate::limits::{MEDIA_CHUNK_BYTES, MEDIA_PROGRESS_BYTES_MIN};
use crate::plane::http::reply::Problem;

/// Bytes and time that a refused request is still listened to: who is sending reads no answer, and a connection
/// that is closed with bytes in it takes the answer down with it.
const REFUSED_BYTES_MAX: usize = 1024 * 1024;
const REFUSED_PATIENCE: Duration = Duration::from_secs(1);

/// How a request's bytes ended.
pub(super) enum End {
    /// As they should.
    Whole,
    /// There are more than were announced.
    TooLong,
    /// The connection broke, or the bytes are no HTTP.
    Broken(hyper::Error),
    /// Too few came in the time there is.
    Stalled,
    /// A later request wants the upload.
    Wanted,
    /// The disk refused.
    Disk(io::Error),
}

/// Moves bytes from a request to an upload.
pub(super) async fn pump(
    body: &mut Incoming,
    writer: &mut Writer,
    mut checksum: Option<&mut Checksum>,
    upload: &Upload,
    stall: Duration,
) -> End {
    let mut until = Instant::now() + stall;
    let mut since = 0;
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            () = upload.is_wanted() => return End::Wanted,
            () = tokio::time::sleep_until(until) => return End::Stalled,
        };
        let data = match frame {
            None => return End::Whole,
            Some(Err(error)) => return End::Broken(error),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => data,
                // Trailers say nothing that we would know.
                Err(_) => continue,
            },
        };
        if data.len() as u64 > writer.missing() {
            return End::TooLong;
        }
        if let Some(checksum) = &mut checksum {
            checksum.update(&data);
        }
        if let Err(error) = writer.write(&data).await {
            return End::Disk(error);
        }
        since += data.len() as u64;
        if since >= MEDIA_PROGRESS_BYTES_MIN {
            (until, since) = (Instant::now() + stall, 0);
        }
    }
}

/// Listens a little longer to a request that is refused, so that its answer is read.
pub(super) async fn refuse(mut body: Incoming, problem: Problem) -> Problem {
    let drained = async {
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, |data| data.len());
            if bytes > REFUSED_BYTES_MAX {
                return;
            }
        }
    };
    // Who sends more, or slower, sees the connection close.
    let _ = tokio::time::timeout(REFUSED_PATIENCE, drained).await;
    problem
}

/// Reads a whole upload back from the disk: what it is called from now on, and how it begins.
pub(super) fn read_whole(path: &Path) -> io::Result<(ObjectId, Vec<u8>)> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut head = Vec::with_capacity(SNIFF_BYTES);
    let mut chunk = vec![0; MEDIA_CHUNK_BYTES];
    loop {
        let length = match file.read(&mut chunk) {
            Ok(0) => return Ok((hasher.finalize().into(), head)),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let missing = SNIFF_BYTES - head.len();
        head.extend_from_slice(&chunk[..length.min(missing)]);
        hasher.update(&chunk[..length]);
    }
}
