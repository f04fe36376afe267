//! The one door from bytes to fields: nothing reads a table that was not verified here, or recognised by
//! [`super::layout`] (W-6).

use flatbuffers::{Follow, InvalidFlatbuffer, Verifiable, VerifierOptions};

use super::layout;
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

/// The struct of a table that has nothing else.
#[inline]
pub(crate) fn fixed<'a, T, const N: usize>(
    kind: FrameType,
    body: &'a [u8],
    read: impl FnOnce(T::Inner) -> [u8; N],
) -> Result<[u8; N], Fault>
where
    T: Follow<'a> + Verifiable + 'a,
{
    match layout::read(body) {
        Some(fixed) => Ok(*fixed),
        None => root::<T>(kind, body).map(read),
    }
}

/// The struct of a table, and what is read of its optional fields; their defaults where there is nothing but
/// the struct.
#[inline]
pub(crate) fn fixed_and_more<'a, T, const N: usize, M: Default>(
    kind: FrameType,
    body: &'a [u8],
    read: impl FnOnce(T::Inner) -> ([u8; N], M),
) -> Result<([u8; N], M), Fault>
where
    T: Follow<'a> + Verifiable + 'a,
{
    match layout::read(body) {
        Some(fixed) => Ok((*fixed, M::default())),
        None => root::<T>(kind, body).map(read),
    }
}

/// Struct and bytes of a table, and what is read of its optional fields; as above.
#[inline]
pub(crate) fn fixed_bytes_and_more<'a, T, const N: usize, M: Default>(
    kind: FrameType,
    body: &'a [u8],
    read: impl FnOnce(T::Inner) -> ([u8; N], &'a [u8], M),
) -> Result<([u8; N], &'a [u8], M), Fault>
where
    T: Follow<'a> + Verifiable + 'a,
{
    match layout::read_with_body(body) {
        Some((fixed, bytes)) => Ok((*fixed, bytes, M::default())),
        None => root::<T>(kind, body).map(read),
    }
}

/// Struct and bytes of a table that has nothing else.
#[inline]
pub(crate) fn fixed_and_bytes<'a, T, const N: usize>(
    kind: FrameType,
    body: &'a [u8],
    read: impl FnOnce(T::Inner) -> ([u8; N], &'a [u8]),
) -> Result<([u8; N], &'a [u8]), Fault>
where
    T: Follow<'a> + Verifiable + 'a,
{
    match layout::read_with_body(body) {
        Some((fixed, bytes)) => Ok((*fixed, bytes)),
        None => root::<T>(kind, body).map(read),
    }
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

/// Checks the length of bytes.
#[inline]
pub(crate) fn bytes<'a>(
    kind: FrameType,
    field: &'static str,
    bytes: &'a [u8],
    bytes_max: usize,
) -> Result<&'a [u8], Fault> {
    if bytes.len() > bytes_max {
        return Err(Fault::TextTooLong { kind, field, bytes: bytes.len(), bytes_max });
    }
    Ok(bytes)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generated as wire;
    use crate::message::{Durability, Kind, Message, Publish};

    /// The frames of a client that uses flatc's own builder.
    #[test]
    fn what_another_builder_lays_out_differently_is_read_alike() {
        let mut builder = flatbuffers::FlatBufferBuilder::new();
        let body = Some(builder.create_vector(b"body"));
        let id = wire::Id([3; 16]);
        let fixed = wire::MessageFixed::new(&id, 1, 2, &id, 4, 5, 6, wire::Kind::Edit);
        let root = wire::Message::create(&mut builder, &wire::MessageArgs { fixed: Some(&fixed), body });
        builder.finish_minimal(root);
        let foreign = builder.finished_data();
        assert_eq!(layout::read_with_body::<80>(foreign), None, "another layout");
        let message = Message::from_body(foreign).expect("valid");
        assert_eq!((message.sequence, message.time_ms, message.origin), (1, 2, 4));
        assert_eq!((message.client_sequence, message.reference, message.kind), (5, 6, Kind::Edit));
        assert_eq!((message.sender.as_bytes(), message.body), (&[3; 16], b"body".as_slice()));
    }

    #[test]
    fn unknown_numbers_are_refused_from_clients_and_survived_from_servers() {
        for (number, faulty) in [(7, false), (8, true), (255, true)] {
            let mut builder = flatbuffers::FlatBufferBuilder::new();
            let body = Some(builder.create_vector(b"body"));
            let id = wire::Id([3; 16]);
            let fixed = wire::PublishFixed::new(&id, 1, 0, wire::Kind(number), wire::Durability(0));
            let root = wire::Publish::create(&mut builder, &wire::PublishArgs { fixed: Some(&fixed), body });
            builder.finish_minimal(root);
            let publish = Publish::from_body(builder.finished_data());
            let value = u64::from(number);
            let fault = Fault::BadValue { kind: FrameType::Publish, field: "kind", value };
            assert_eq!(publish.err(), faulty.then_some(fault));
            let mut builder = flatbuffers::FlatBufferBuilder::new();
            let body = Some(builder.create_vector(b"body"));
            let fixed = wire::MessageFixed::new(&id, 1, 2, &id, 4, 5, 6, wire::Kind(number));
            let root = wire::Message::create(&mut builder, &wire::MessageArgs { fixed: Some(&fixed), body });
            builder.finish_minimal(root);
            let message = Message::from_body(builder.finished_data()).expect("survived");
            assert_eq!(message.kind == Kind::Unknown, faulty);
        }
        assert_eq!(Durability::from_number(2), None);
    }

    #[test]
    fn parts_laid_over_each_other_are_refused_before_they_cost_anything() {
        // A member list of n entries that all point to one member with one long name: n times the work of
        // reading it.
        let mut builder = flatbuffers::FlatBufferBuilder::new();
        let name = Some(builder.create_string(&"n".repeat(10_000)));
        let fixed = wire::MemberFixed::new(&wire::Id([1; 16]), wire::Role::Member);
        let member = wire::Member::create(&mut builder, &wire::MemberArgs { fixed: Some(&fixed), name });
        let members = Some(builder.create_vector(&vec![member; 5_000]));
        let fixed = wire::MemberPageFixed::new(&wire::Id([1; 16]), &wire::Id([1; 16]), 1, true);
        let args = wire::MemberPageArgs { fixed: Some(&fixed), members };
        let root = wire::MemberPage::create(&mut builder, &args);
        builder.finish_minimal(root);
        let result = super::root::<wire::MemberPage<'_>>(FrameType::MemberPage, builder.finished_data());
        let fault = Fault::InvalidBody { kind: FrameType::MemberPage, why: InvalidBody::TooComplex };
        assert_eq!(result.err(), Some(fault));
    }
}
