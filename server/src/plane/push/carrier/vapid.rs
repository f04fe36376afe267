//! How an application server shows a push service who it is (RFC 8292): a token signed for that service.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::json;

/// A key that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("no P-256 private key in PEM; make one with `openssl ecparam -name prime256v1 -genkey -noout`")]
pub struct VapidFault;

/// The application server's key.
pub struct VapidKey {
    pair: EcdsaKeyPair,
    /// In base64url, as browsers want it when they subscribe.
    public: String,
}

impl VapidKey {
    /// From a PEM file's text.
    ///
    /// # Errors
    /// Where there is no such key in it.
    pub fn from_pem(pem: &[u8]) -> Result<Self, VapidFault> {
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| VapidFault)?;
        let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, key.secret_der())
            .map_err(|_| VapidFault)?;
        let public = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        Ok(VapidKey { pair, public })
    }

    /// The key that an application's page subscribes with (`applicationServerKey`).
    pub fn public(&self) -> &str {
        &self.public
    }

    /// A token for the service at `audience`, good until `expires_s`.
    pub(super) fn token(&self, audience: &str, subject: &str, expires_s: u64) -> Result<String, String> {
        let header = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"ES256"}"#);
        let claims = json!({ "aud": audience, "exp": expires_s, "sub": subject }).to_string();
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.map_err(|_| "the crypto library failed to sign".to_owned())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }
}
