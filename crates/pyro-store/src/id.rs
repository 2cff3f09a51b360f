//! What a machine is known by.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, host};

/// 12 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VmId(String);

impl VmId {
    /// One that nobody has had.
    ///
    /// # Errors
    /// When the host has no random bytes.
    pub fn random() -> Result<Self, Error> {
        Ok(Self(hex(&random_bytes::<6>()?)))
    }

    /// The id that a text is; `None` when it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 12 && is_hex(text)).then(|| Self(text.to_owned()))
    }

    /// Its digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a text is of the digits that ids are made of.
pub fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

impl fmt::Display for VmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Random bytes of the host's.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0u8; N];
    let read = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    read.map_err(|error| host("get random bytes")(error.into()))?;
    Ok(bytes)
}

/// Bytes as lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_twelve_hex_digits_and_another_each_time() {
        let (one, two) = (VmId::random().unwrap(), VmId::random().unwrap());
        assert_eq!(VmId::parse(one.as_str()), Some(one.clone()));
        assert_ne!(one, two);
        for not_one in ["", "0123456789a", "0123456789abc", "0123456789aG", "0123456789AB", "../123456789"] {
            assert_eq!(VmId::parse(not_one), None, "{not_one}");
        }
    }
}
