//! A VM or task in a message (the form on the socket).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use pyro_store::{Addresses, Kind, Naming, Record, Settings, State, VmId, Wanted};
use serde::{Deserialize, Serialize};

use crate::Error;

/// Releases up to 2.1.0 send the record as it is on the disk, and want this field.
const FORMAT: u32 = 1;

/// A VM or task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordForm {
    format: u32,
    id: String,
    kind: KindForm,
    state: StateForm,
    environment: String,
    environment_version: String,
    vcpu_count: u8,
    mem_mib: u32,
    ttl_seconds: u64,
    created_at: f64,
    expires_at: f64,
    /// Fields of their own, beside the others. One that the other side does not know has its default.
    #[serde(flatten)]
    settings: Settings,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    addresses: Option<AddressesForm>,
    execution_mode: String,
    accelerator: Option<String>,
    start_mode: Option<String>,
    boundary: Option<String>,
    layers: Vec<String>,
    last_error: Option<String>,
    create_ms: f64,
    start_ms: f64,
    attempt_id: Option<String>,
    environment_digest: Option<String>,
    request_digest: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KindForm {
    Vm,
    Task,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StateForm {
    Creating,
    Created,
    Started,
    Stopped,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct AddressesForm {
    guest_ip: IpAddr,
    gateway_ip: IpAddr,
    subnet_cidr: String,
    mac_address: String,
    dns_servers: Vec<IpAddr>,
}

impl From<Record> for RecordForm {
    fn from(record: Record) -> Self {
        Self {
            format: FORMAT,
            id: record.id.to_string(),
            kind: match record.kind {
                Kind::Vm => KindForm::Vm,
                Kind::Task => KindForm::Task,
            },
            state: match record.state {
                State::Creating => StateForm::Creating,
                State::Created => StateForm::Created,
                State::Started => StateForm::Started,
                State::Stopped => StateForm::Stopped,
            },
            environment: record.environment,
            environment_version: record.environment_version,
            vcpu_count: record.vcpu_count,
            mem_mib: record.mem_mib,
            ttl_seconds: record.ttl_seconds,
            created_at: record.created_at,
            expires_at: record.expires_at,
            settings: record.settings,
            name: record.naming.name,
            labels: record.naming.labels,
            addresses: record.addresses.map(Into::into),
            execution_mode: record.execution_mode,
            accelerator: record.accelerator,
            start_mode: record.start_mode,
            boundary: record.boundary,
            layers: record.layers,
            last_error: record.last_error,
            create_ms: record.create_ms,
            start_ms: record.start_ms,
            attempt_id: record.attempt_id,
            environment_digest: record.environment_digest,
            request_digest: record.request_digest,
        }
    }
}

impl TryFrom<RecordForm> for Record {
    type Error = Error;

    fn try_from(form: RecordForm) -> Result<Self, Error> {
        let not_an_id = || Error::InvalidArgument { problem: format!("a supervisor calls itself {:?}", form.id) };
        let id = VmId::parse(&form.id).ok_or_else(not_an_id)?;
        let kind = match form.kind {
            KindForm::Vm => Kind::Vm,
            KindForm::Task => Kind::Task,
        };
        let state = match form.state {
            StateForm::Creating => State::Creating,
            StateForm::Created => State::Created,
            StateForm::Started => State::Started,
            StateForm::Stopped => State::Stopped,
        };
        let wanted = Wanted {
            vcpu_count: form.vcpu_count,
            mem_mib: form.mem_mib,
            ttl: Duration::from_secs(form.ttl_seconds),
            settings: form.settings,
        };
        Ok(Self {
            state,
            expires_at: form.expires_at,
            naming: Naming { name: form.name, labels: form.labels },
            addresses: form.addresses.map(Into::into),
            execution_mode: form.execution_mode,
            accelerator: form.accelerator,
            start_mode: form.start_mode,
            boundary: form.boundary,
            layers: form.layers,
            last_error: form.last_error,
            create_ms: form.create_ms,
            start_ms: form.start_ms,
            attempt_id: form.attempt_id,
            environment_digest: form.environment_digest,
            request_digest: form.request_digest,
            ..Self::new(id, kind, &form.environment, &form.environment_version, wanted, form.created_at)
        })
    }
}

impl From<Addresses> for AddressesForm {
    fn from(addresses: Addresses) -> Self {
        let Addresses { guest_ip, gateway_ip, subnet_cidr, mac_address, dns_servers } = addresses;
        Self { guest_ip, gateway_ip, subnet_cidr, mac_address, dns_servers }
    }
}

impl From<AddressesForm> for Addresses {
    fn from(form: AddressesForm) -> Self {
        let AddressesForm { guest_ip, gateway_ip, subnet_cidr, mac_address, dns_servers } = form;
        Self { guest_ip, gateway_ip, subnet_cidr, mac_address, dns_servers }
    }
}
