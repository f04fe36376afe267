//! Encryption of Web Push payloads, so that only the browser reads them (RFC 8291 on RFC 8188, `aes128gcm`).
//!
//! ```text
//!   salt 16 | record size 4, big endian | 65 | our public key 65 | AES-128-GCM(payload, 0x02) with its tag
//! ```
//!
//! Our key and the salt are fresh for every message; the browser's key and secret are its subscription's.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, ECDH_P256, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::hmac;

/// All of a payload is in one record of this size.
const RECORD_BYTES: u32 = 4096;

/// Services take bodies of 4096 bytes; this much of one is header, delimiter and tag.
const OVERHEAD_BYTES: usize = 16 + 4 + 1 + 65 + 1 + 16;

/// Longest payload.
pub const PAYLOAD_BYTES_MAX: usize = RECORD_BYTES as usize - OVERHEAD_BYTES;

/// Why a payload could not be sealed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealFault {
    /// The browser's key is no point on the curve: the registration is of no use.
    #[error("the subscription's key (p256dh) is no point on P-256")]
    Key,
    /// More than a service takes.
    #[error("the payload has more than {PAYLOAD_BYTES_MAX} bytes")]
    TooLong,
    /// The library refused what is always right.
    #[error("the crypto library failed")]
    Library,
}

/// What is fresh for every message.
pub struct Fresh {
    key: PrivateKey,
    salt: [u8; 16],
}

impl Fresh {
    /// From the system's random source.
    pub fn new() -> Result<Self, SealFault> {
        let mut salt = [0; 16];
        aws_lc_rs::rand::fill(&mut salt).map_err(|_| SealFault::Library)?;
        Ok(Fresh { key: PrivateKey::generate(&ECDH_P256).map_err(|_| SealFault::Library)?, salt })
    }
}

/// Seals `payload` for the browser whose key and secret these are.
pub fn seal(fresh: &Fresh, browser: &[u8], secret: &[u8], payload: &[u8]) -> Result<Vec<u8>, SealFault> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(SealFault::TooLong);
    }
    let ours = fresh.key.compute_public_key().map_err(|_| SealFault::Library)?;
    let ours = ours.as_ref();
    let theirs = UnparsedPublicKey::new(&ECDH_P256, browser);
    let shared = agreement::agree(&fresh.key, theirs, SealFault::Key, |shared| Ok(shared.to_vec()))?;

    let input = expand(&extract(secret, &shared), &[b"WebPush: info\0", browser, ours]);
    let pseudo_random = extract(&fresh.salt, &input);
    let key = expand(&pseudo_random, &[b"Content-Encoding: aes128gcm\0"]);
    let nonce = expand(&pseudo_random, &[b"Content-Encoding: nonce\0"]);
    let key = UnboundKey::new(&AES_128_GCM, &key[..16]).map_err(|_| SealFault::Library)?;
    let nonce = Nonce::try_assume_unique_for_key(&nonce[..12]).map_err(|_| SealFault::Library)?;

    let mut sealed = Vec::with_capacity(payload.len() + OVERHEAD_BYTES);
    // The last record's delimiter, and no padding: every payload has nearly the same length anyway.
    let mut record = payload.to_vec();
    record.push(2);
    LessSafeKey::new(key)
        .seal_in_place_append_tag(nonce, Aad::empty(), &mut record)
        .map_err(|_| SealFault::Library)?;
    sealed.extend_from_slice(&fresh.salt);
    sealed.extend_from_slice(&RECORD_BYTES.to_be_bytes());
    sealed.push(ours.len() as u8);
    sealed.extend_from_slice(ours);
    sealed.extend_from_slice(&record);
    Ok(sealed)
}

/// HKDF's first half (RFC 5869 §2.2).
fn extract(salt: &[u8], input: &[u8]) -> hmac::Key {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, salt), input);
    hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref())
}

/// HKDF's second half, for one block, which is all that is needed here.
fn expand(key: &hmac::Key, info: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(key);
    info.iter().for_each(|part| context.update(part));
    context.update(&[1]);
    let mut block = [0; 32];
    block.copy_from_slice(context.sign().as_ref());
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    fn bytes(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).expect("base64url")
    }

    const BROWSER: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";

    /// The example of RFC 8291, appendix A.
    #[test]
    fn the_standards_example_is_sealed_to_the_same_bytes() {
        let key =
            PrivateKey::from_private_key(&ECDH_P256, &bytes("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"));
        let salt = bytes("DGv6ra1nlYgDCS1FRnbzlw").try_into().expect("16 bytes");
        let fresh = Fresh { key: key.expect("a scalar"), salt };
        let secret = bytes("BTBZMqHH6r4Tts7J_aSIgg");
        let payload = b"When I grow up, I want to be a watermelon";
        let sealed = seal(&fresh, &bytes(BROWSER), &secret, payload).expect("sealed");
        let expected = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLoc\
                        InmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLV\
                        WGNWQexSgSxsj_Qulcy4a-fN";
        assert_eq!(URL_SAFE_NO_PAD.encode(sealed), expected);
    }

    #[test]
    fn what_cannot_be_sealed_is_refused() {
        let fresh = Fresh::new().expect("random");
        let seal = |browser: &[u8], length| seal(&fresh, browser, &[7; 16], &vec![0; length]);
        let mut off_curve = bytes(BROWSER);
        off_curve[40] ^= 1;
        assert_eq!(seal(&off_curve, 1), Err(SealFault::Key));
        assert_eq!(seal(&[], 1), Err(SealFault::Key));
        assert_eq!(seal(&bytes(BROWSER), PAYLOAD_BYTES_MAX + 1), Err(SealFault::TooLong));
        assert_eq!(seal(&bytes(BROWSER), PAYLOAD_BYTES_MAX).map(|sealed| sealed.len()), Ok(4096));
    }
}
