//! The one door from bytes to generated accessors: nothing reads a table that did not pass here (W-6).

use flatbuffers::{Follow, InvalidFlatbuffer, Verifiable, VerifierOptions};

use crate::fault::{Fault, InvalidBody};
use crate::frame::FrameType;
use crate::limits;

/// The root of a frame's body, verified.
#[inline]
pub(crate) fn root<'a, T>(kind: FrameType, body: &'a [u8]) -> Result<T::Inner, Fault>
where
    T: Follow<'a> + Verifiable + 'a,
{
    bare_root::<T>(body).map_err(|why| Fault::InvalidBody { kind, why })
}

/// The root of bytes that are not a frame's body.
#[inline]
pub(crate) fn bare_root<'a, T>(body: &'a [u8]) -> Result<T::Inner, InvalidBody>
where
    T: Follow<'a> + Verifiable + 'a,
{
    let options = VerifierOptions {
        max_depth: limits::DEPTH_MAX,
        // Every table takes four bytes or shares them with another; sharing is bounded by the apparent size.
        max_tables: body.len(),
        max_apparent_size: body.len().saturating_mul(limits::APPARENT_SIZE_RATIO_MAX),
        ignore_missing_null_terminator: false,
    };
    flatbuffers::root_with_opts::<T>(&options, body).map_err(|why| invalid(&why))
}

#[cold]
fn invalid(why: &InvalidFlatbuffer) -> InvalidBody {
    match why {
        InvalidFlatbuffer::MissingRequiredField { .. } | InvalidFlatbuffer::InconsistentUnion { .. } => {
            InvalidBody::MissingField
        }
        InvalidFlatbuffer::Utf8Error { .. } | InvalidFlatbuffer::MissingNullTerminator { .. } => {
            InvalidBody::BadString
        }
        InvalidFlatbuffer::Unaligned { .. } => InvalidBody::Unaligned,
        InvalidFlatbuffer::RangeOutOfBounds { .. } | InvalidFlatbuffer::SignedOffsetOutOfBounds { .. } => {
            InvalidBody::OutOfBounds
        }
        InvalidFlatbuffer::TooManyTables
        | InvalidFlatbuffer::ApparentSizeTooLarge
        | InvalidFlatbuffer::DepthLimitReached => InvalidBody::TooComplex,
    }
}

/// Checks the length of a text.
#[inline]
pub(crate) fn text<'a>(
    kind: FrameType,
    field: &'static str,
    text: &'a str,
    bytes_max: usize,
) -> Result<&'a str, Fault> {
    if text.len() > bytes_max {
        return Err(Fault::TextTooLong { kind, field, bytes: text.len(), bytes_max });
    }
    Ok(text)
}

/// Checks an enumeration's number.
#[inline]
pub(crate) fn known<T>(
    kind: FrameType,
    field: &'static str,
    number: u8,
    value: Option<T>,
) -> Result<T, Fault> {
    value.ok_or(Fault::BadValue { kind, field, value: u64::from(number) })
}
