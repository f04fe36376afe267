//! The settings of TLS.

use std::path::PathBuf;

use super::{ConfigFault, Values, fault};

/// What TLS needs to know; the files are read by boot.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// Where the certificate comes from.
    pub source: Source,
    /// Whether clients may speak 1.2, beside 1.3.
    pub allows_1_2: bool,
}

/// Where a certificate comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// From files in PEM.
    Files {
        /// The certificate, first, and those that signed it.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// Made at the start, for localhost.
    Development,
}

impl TlsConfig {
    /// # Errors
    /// The first setting that cannot be used, or that is missing beside another.
    pub(super) fn from_values(values: &Values) -> Result<Option<Self>, ConfigFault> {
        let allows_1_2 = values.parse("tls.version_min", |text| match text {
            "1.3" => Ok(false),
            "1.2" => Ok(true),
            text => Err(format!("\"{text}\" is neither 1.3 nor 1.2; what is older is not safe")),
        })?;
        let development = values.flag("tls.dev")?;
        let source = match (values.path("tls.certificate_file"), values.path("tls.key_file")) {
            (Some(certificate), Some(key)) if !development => Source::Files { certificate, key },
            (None, None) if development => Source::Development,
            (None, None) => return Ok(None),
            (_, _) if development => {
                let what =
                    "makes a certificate of its own; leave it away, or tls.certificate_file and tls.key_file";
                return Err(fault("tls.dev", what));
            }
            (Some(_), _) => return Err(fault("tls.key_file", "is needed beside tls.certificate_file")),
            (None, _) => return Err(fault("tls.certificate_file", "is needed beside tls.key_file")),
        };
        Ok(Some(TlsConfig { source, allows_1_2 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(settings: &[(&str, &str)]) -> Result<Option<TlsConfig>, ConfigFault> {
        let mut values = Values::default();
        for (name, text) in settings {
            values.set(name, text, "test").expect("known");
        }
        TlsConfig::from_values(&values)
    }

    #[test]
    fn what_belongs_together_is_asked_for_together() {
        for (settings, named) in [
            (&[("tls.certificate_file", "c.pem")][..], "tls.key_file"),
            (&[("tls.key_file", "k.pem")], "tls.certificate_file"),
            (&[("tls.version_min", "1.1")], "tls.version_min"),
            (&[("tls.dev", "true"), ("tls.key_file", "k.pem")], "tls.dev"),
        ] {
            let fault = config(settings).expect_err(named);
            assert!(fault.place.contains(named), "{fault} does not name {named}");
        }
        assert!(config(&[]).expect("valid").is_none(), "off unless asked for");
        let files =
            config(&[("tls.certificate_file", "c"), ("tls.key_file", "k"), ("tls.version_min", "1.2")]);
        assert!(files.expect("valid").expect("on").allows_1_2);
        let dev = config(&[("tls.dev", "true")]).expect("valid").expect("on");
        assert!(matches!(dev, TlsConfig { source: Source::Development, allows_1_2: false }));
    }
}
