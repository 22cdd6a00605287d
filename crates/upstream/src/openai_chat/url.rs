//! Where a model's server is.

use reqwest::Url;

/// The URL below which a server has `chat/completions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(Url);

/// Why an URL is none of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It is no URL at all.
    #[error("it is no URL")]
    NoUrl,
    /// It begins with something else.
    #[error("it has to begin with `http://` or `https://`")]
    Scheme,
    /// It has what no base of other URLs can have, or what would be a credential in the wrong place.
    #[error("it must have no user, no password, no `?` and no `#`")]
    Parts,
}

impl BaseUrl {
    /// Reads an URL. Without a path, `/v1` is meant, where all known servers have the API; a path is taken
    /// as it is. A slash at the end changes nothing.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let mut url = Url::parse(text.trim()).map_err(|_| UrlError::NoUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlError::Scheme);
        }
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || url.query().is_some() || url.fragment().is_some() {
            return Err(UrlError::Parts);
        }
        let path = match url.path().trim_end_matches('/') {
            "" => "/v1/".to_owned(),
            path => format!("{path}/"),
        };
        url.set_path(&path);
        Ok(Self(url))
    }

    /// Whether connections to it are encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The host's name.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// The URL of one of its paths, which is written without a slash before it.
    pub(super) fn at(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}{path}", self.0.path()));
        url
    }
}

impl std::fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}
