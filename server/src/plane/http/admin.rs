//! Who may use the admin interface: whoever shows the key, as a bearer token.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::reply::Problem;

/// A key that can be guessed is none.
pub const ADMIN_KEY_BYTES_MIN: usize = 32;

/// The admin interface's key.
#[derive(Clone)]
pub struct AdminKey(Box<[u8]>);

impl std::fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the key itself: configurations end up in logs.
        f.write_str("AdminKey(..)")
    }
}

impl AdminKey {
    /// `None` where it is shorter than [`ADMIN_KEY_BYTES_MIN`] or cannot stand in a header.
    pub fn new(key: &[u8]) -> Option<Self> {
        let usable = key.len() >= ADMIN_KEY_BYTES_MIN && key.iter().all(u8::is_ascii_graphic);
        usable.then(|| AdminKey(key.into()))
    }
}

/// Lets in who shows the key.
///
/// # Errors
/// 403 where no key is configured, 401 where none or another is shown.
pub fn check(key: Option<&AdminKey>, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(key) = key else {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "admin_closed",
            "the admin interface is closed: no key is configured; make one with `openssl rand -hex 32` and \
             name its file in plane.admin_key_file",
        ));
    };
    let shown = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let shown = shown.and_then(|value| value.strip_prefix(b"Bearer "));
    match shown {
        Some(shown) if verify_slices_are_equal(shown, &key.0).is_ok() => Ok(()),
        _ => Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "admin_key",
            "show the admin key: Authorization: Bearer KEY, as in the file plane.admin_key_file names",
        )
        .with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_key_opens() {
        let text = "0123456789abcdef0123456789abcdef";
        let key = AdminKey::new(text.as_bytes()).expect("long enough");
        let shows = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().expect("a header"));
            headers
        };
        assert!(check(Some(&key), &shows(&format!("Bearer {text}"))).is_ok());
        for value in [text, "Bearer", "Bearer ", "Bearer 0123", &format!("Basic {text}")] {
            assert_eq!(check(Some(&key), &shows(value)).expect_err(value).code, "admin_key");
        }
        assert!(check(Some(&key), &HeaderMap::new()).is_err());
        assert_eq!(check(None, &shows("Bearer x")).expect_err("closed").code, "admin_closed");
    }

    #[test]
    fn keys_that_can_be_guessed_or_not_be_shown_are_refused() {
        assert!(AdminKey::new(b"short").is_none());
        assert!(AdminKey::new(&[b' '; 64]).is_none());
    }
}
