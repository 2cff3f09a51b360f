//! Machine ids.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, host};

/// 12 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct VmId(String);

impl TryFrom<String> for VmId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("{text:?} is not an id of twelve hex digits"))
    }
}

impl VmId {
    /// A new random id.
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

    /// The MAC address of its network device: the id's own bits, as a locally administered unicast address (two
    /// of its 48 bits say that). A machine keeps it when it is started again.
    #[must_use]
    pub fn mac_address(&self) -> [u8; 6] {
        let byte = |at: usize| u8::from_str_radix(&self.0[2 * at..2 * at + 2], 16).expect("an id has hex digits only");
        let mut address = std::array::from_fn(byte);
        address[0] = address[0] & 0xfc | 0x02;
        address
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

    #[test]
    fn what_is_no_id_is_not_read_as_one() {
        assert!(serde_json::from_str::<VmId>("\"0123456789ab\"").is_ok());
        assert!(serde_json::from_str::<VmId>("\"../../../etc\"").is_err());
    }

    #[test]
    fn machines_have_unicast_addresses_of_their_own() {
        let of = |id: &str| VmId::parse(id).unwrap().mac_address();
        assert_eq!(of("0123456789ab"), [0x02, 0x23, 0x45, 0x67, 0x89, 0xab]);
        assert_eq!(of("ffffffffffff"), [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff]);
    }
}
