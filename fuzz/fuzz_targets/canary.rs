//! Must crash: a parser with a planted mistake, four bytes deep. If it does not, this fuzzing finds nothing.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let tag = data.iter().zip(b"RING").take_while(|(byte, expected)| byte == expected).count();
    assert!(tag < 4, "the canary sings");
});
