//! Frames cut, skipped, refused and put together again.

use super::*;

#[test]
fn cut_frames_are_faults_in_messages() {
    let bytes = header(FrameType::Ping, 4);
    let mut input = &bytes[..];
    assert_eq!(split(&mut input, 100), Err(Fault::CutFrame { missing: 4 }));
    let mut input = &bytes[..3];
    assert_eq!(split(&mut input, 100), Err(Fault::CutFrame { missing: 5 }));
    assert_eq!(split(&mut &[][..], 100), Ok(None));
}
