//! What the four dialects have in common here: prefixes, keys, the forms of ids.

use serde_json::Value;

/// A dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dialect {
    OpenAi,
    Dify,
    Coze,
    OpenHands,
}

impl Dialect {
    pub(super) const ALL: [Self; 4] = [Self::OpenAi, Self::Dify, Self::Coze, Self::OpenHands];

    /// Its name on the command line, which its prefix is, too.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Dify => "dify",
            Self::Coze => "coze",
            Self::OpenHands => "openhands",
        }
    }
}

/// A person's keys.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    /// The person.
    pub(super) user: usize,
    /// One for each dialect, in their order.
    pub(super) secrets: [String; 4],
    /// The app's id in Coze's form.
    pub(super) bot: String,
}

impl Keys {
    fn of(&self, dialect: Dialect) -> &str {
        let [openai, dify, coze, openhands] = &self.secrets;
        match dialect {
            Dialect::OpenAi => openai,
            Dialect::Dify => dify,
            Dialect::Coze => coze,
            Dialect::OpenHands => openhands,
        }
    }

    /// A request in a dialect, ready to be sent.
    pub(super) fn request(
        &self,
        dialect: Dialect,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Vec<u8> {
        request(dialect, self.of(dialect), method, path, body)
    }
}

/// A request in a dialect, ready to be sent.
pub(super) fn request(
    dialect: Dialect,
    secret: &str,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Vec<u8> {
    let key = match dialect {
        Dialect::OpenHands => format!("x-session-api-key: {secret}"),
        Dialect::OpenAi | Dialect::Dify | Dialect::Coze => {
            format!("authorization: Bearer {secret}")
        }
    };
    let name = dialect.name();
    let head = format!("{method} /{name}{path} HTTP/1.1\r\nhost: crash\r\n{key}\r\n");
    match body {
        None => format!("{head}\r\n").into_bytes(),
        Some(body) => {
            let body = body.to_string();
            let length = body.len();
            format!(
                "{head}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
            )
            .into_bytes()
        }
    }
}

/// A conversation's id. Coze's form leaves bits out, so that of a conversation that was made there
/// not all are known at first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Name {
    /// Coze's form, which is unique within a project.
    pub(super) decimal: u64,
    /// All bits.
    pub(super) whole: Option<u128>,
}

impl Name {
    pub(super) fn of(whole: u128) -> Self {
        Self {
            decimal: decimal(whole),
            whole: Some(whole),
        }
    }

    pub(super) const fn partial(decimal: u64) -> Self {
        Self {
            decimal,
            whole: None,
        }
    }

    fn bits(self) -> u128 {
        self.whole.unwrap_or_default()
    }

    /// The form of OpenHands.
    pub(super) fn hex(self) -> String {
        format!("{:032x}", self.bits())
    }

    /// The form of OpenAI.
    pub(super) fn prefixed(self) -> String {
        format!("conv_{}", self.hex())
    }

    /// The form of Dify.
    pub(super) fn dashed(self) -> String {
        dashed(self.bits())
    }
}

/// A UUID's text.
pub(super) fn dashed(bits: u128) -> String {
    let hex = format!("{bits:032x}");
    let part = |from, to| hex.get(from..to).unwrap_or_default();
    [
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32),
    ]
    .join("-")
}

/// The millisecond and the 21 bits after it: 12 of them behind the version, 9 behind the variant.
pub(super) fn decimal(bits: u128) -> u64 {
    let tail = ((bits >> 64) & 0xFFF) << 9 | (bits >> 53) & 0x1FF;
    u64::try_from((bits >> 80) << 21 | tail).unwrap_or_default()
}

/// The bits of an id in any form but Coze's.
pub(super) fn bits(text: &str) -> Option<u128> {
    let tail = text.rsplit('_').next()?;
    u128::from_str_radix(&tail.replace('-', ""), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_the_same_bits_in_every_form() {
        let name = Name::of(0x0197_9c4e_5d2a_7abc_8def_0123_4567_89ab);
        assert_eq!(bits(&name.prefixed()), name.whole);
        assert_eq!(bits(&name.dashed()), name.whole);
        assert_eq!(bits(&name.hex()), name.whole);
        assert_eq!(name.dashed(), "01979c4e-5d2a-7abc-8def-0123456789ab");
        assert_eq!(name.decimal >> 21, 0x0197_9c4e_5d2a);
    }
}
