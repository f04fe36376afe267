//! The settings of media sharing.

use std::path::PathBuf;
use std::time::Duration;

use super::{ConfigFault, Values, fault, size_within, value};

/// Where objects are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A folder of this machine.
    Folder(PathBuf),
    /// S3, or what is compatible with it.
    S3(S3),
}

/// An S3 bucket.
#[derive(Clone, PartialEq, Eq)]
pub struct S3 {
    /// Its name.
    pub bucket: String,
    /// Everything of ours begins with this; may be empty.
    pub prefix: String,
    /// Whom to ask, where it is not Amazon.
    pub endpoint: Option<String>,
    /// Where it is.
    pub region: String,
    /// Id and secret; `None`: what the machine or its role has.
    pub key: Option<(String, String)>,
}

impl std::fmt::Debug for S3 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the secret: configurations end up in logs.
        write!(f, "S3({} {}/{})", self.endpoint.as_deref().unwrap_or("aws"), self.bucket, self.prefix)
    }
}

/// Settings of media sharing.
#[derive(Clone, Debug)]
pub struct Media {
    /// Where objects are kept.
    pub place: Place,
    /// Folder of uploads under way.
    pub spool: PathBuf,
    /// Largest upload, bytes.
    pub bytes_max: u64,
    /// Bytes announced of all uploads under way.
    pub spool_bytes: u64,
    /// Uploads that a user may have under way.
    pub uploads_per_user: usize,
    /// How long an upload may take, from its beginning.
    pub upload_expires: Duration,
    /// How long a transfer may stand still.
    pub stall_timeout: Duration,
    /// Types that are taken.
    pub types: Vec<String>,
    /// How long a conversation refers to an object.
    pub retention: Duration,
    /// Time in which all objects are looked at once.
    pub sweep: Duration,
}

impl Media {
    /// Gives every setting its type; `None`: media sharing is off. `kept`: how long any message is kept, if not for
    /// ever.
    ///
    /// # Errors
    /// The first setting that cannot be used, and where it was said.
    pub(super) fn from_values(
        values: &Values,
        data: &std::path::Path,
        kept: Option<Duration>,
    ) -> Result<Option<Self>, ConfigFault> {
        let store = values.text("media.store").0.to_owned();
        if store == "off" {
            return Ok(None);
        }
        let place = match store.strip_prefix("s3://") {
            Some(rest) => Place::S3(s3(values, rest)?),
            None if store.is_empty() => Place::Folder(data.join("media")),
            None if store.contains("://") => {
                return Err(fault(
                    "media.store",
                    format!("\"{store}\" is neither a folder nor s3://BUCKET/PREFIX nor off"),
                ));
            }
            None => Place::Folder(store.into()),
        };
        let media = Media {
            place,
            spool: values.path("media.spool").unwrap_or_else(|| data.join("media-spool")),
            bytes_max: values.parse("media.bytes_max", size_within(1, 1 << 40))?,
            spool_bytes: values.parse("media.spool_bytes", size_within(1, 1 << 50))?,
            uploads_per_user: values.number("media.uploads_per_user")?,
            upload_expires: values.parse("media.upload_expires", positive)?,
            stall_timeout: values.parse("media.stall_timeout", positive)?,
            types: values.list("media.types").iter().map(|kind| kind.to_ascii_lowercase()).collect(),
            retention: values.parse("media.retention", positive)?,
            sweep: values.parse("media.sweep", positive)?,
        };
        // What no message refers to any more is of no use. A message comes after its object, and not much later than an
        // upload may take.
        let kept = kept.map_or(Duration::MAX, |kept| kept.saturating_add(media.upload_expires));
        let media = Media { retention: media.retention.min(kept), ..media };
        if media.bytes_max > media.spool_bytes {
            return Err(fault(
                "media.spool_bytes",
                "has to be at least media.bytes_max, or the largest upload never finds a place",
            ));
        }
        Ok(Some(media))
    }
}

fn positive(text: &str) -> Result<Duration, String> {
    match value::duration(text)? {
        Duration::ZERO => Err("has to be longer than nothing".to_owned()),
        duration => Ok(duration),
    }
}

#[expect(clippy::disallowed_methods, reason = "the configuration is read once, before a shard runs")]
fn s3(values: &Values, rest: &str) -> Result<S3, ConfigFault> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(fault("media.store", "s3:// has to be followed by the bucket's name"));
    }
    let text = |name| Some(values.text(name).0.to_owned()).filter(|text: &String| !text.is_empty());
    let endpoint = text("media.s3_endpoint");
    if endpoint.as_ref().is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
        return Err(fault("media.s3_endpoint", "is a URL that begins with https:// or http://"));
    }
    let key = match (text("media.s3_key_id"), values.path("media.s3_secret_file")) {
        (None, None) => None,
        (Some(id), Some(path)) => {
            let secret = std::fs::read_to_string(&path).map_err(|error| {
                fault("media.s3_secret_file", format!("cannot read {}: {error}", path.display()))
            })?;
            Some((id, secret.trim().to_owned()))
        }
        _ => return Err(fault("media.s3_key_id", "and media.s3_secret_file are set together or not at all")),
    };
    Ok(S3 {
        bucket: bucket.to_owned(),
        prefix: prefix.trim_matches('/').to_owned(),
        endpoint,
        region: values.text("media.s3_region").0.to_owned(),
        key,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &[(&str, &str)]) -> Result<Option<Media>, ConfigFault> {
        let mut values = Values::default();
        for (name, text) in settings {
            values.set(name, text, "test").expect("known");
        }
        Media::from_values(&values, "data".as_ref(), None)
    }

    #[test]
    fn a_store_is_a_folder_a_bucket_or_off() {
        assert_eq!(read(&[]).expect("fine").expect("on").place, Place::Folder("data/media".into()));
        let elsewhere = read(&[("media.store", "/srv/media")]).expect("fine").expect("on");
        assert_eq!(elsewhere.place, Place::Folder("/srv/media".into()));
        assert!(read(&[("media.store", "off")]).expect("fine").is_none());
        let media = read(&[("media.store", "s3://bucket/a/b/"), ("media.s3_endpoint", "http://127.0.0.1:1")]);
        let Place::S3(s3) = media.expect("fine").expect("on").place else { panic!("a bucket") };
        assert_eq!((&*s3.bucket, &*s3.prefix, s3.key), ("bucket", "a/b", None));
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_name() {
        for (settings, name) in [
            (&[("media.store", "ftp://x")][..], "media.store"),
            (&[("media.store", "s3://")], "media.store"),
            (&[("media.store", "s3://b"), ("media.s3_endpoint", "127.0.0.1")], "media.s3_endpoint"),
            (&[("media.store", "s3://b"), ("media.s3_key_id", "x")], "media.s3_key_id"),
            (&[("media.bytes_max", "2 GiB"), ("media.spool_bytes", "1 GiB")], "media.spool_bytes"),
            (&[("media.stall_timeout", "0s")], "media.stall_timeout"),
        ] {
            let error = read(settings).expect_err("refused").to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
