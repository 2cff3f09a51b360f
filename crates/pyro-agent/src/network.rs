//! The guest's side of the network: the loopback at boot, and the device when the host gives the
//! machine its identity. Messages to the kernel as in rtnetlink(7).
//!
//! The device is there in every machine, because its template had it, and configured as the host wanted it
//! then: mostly there is little to do but to wait for the link. Without a network there is none.

use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use pyro_protocol::message::Network;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with};

use crate::report::{failed, log};

/// The only network device of a machine.
const DEVICE: &str = "eth0";
/// lo is always interface 1.
const LOOPBACK: i32 = 1;
/// How long the link may take to come up. The host sets it up at the same time.
const LINK_LIMIT: Duration = Duration::from_secs(5);

/// Kinds of messages.
const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const REMOVE_ADDRESS: u16 = 21;
const NEW_ROUTE: u16 = 24;
/// Flags of messages.
const REQUEST_AND_ACKNOWLEDGE: u16 = 1 | 4;
const CREATE_OR_REPLACE: u16 = 0x100 | 0x400;
/// The kind of an answer, and the bytes before its error number.
const ERROR: u16 = 2;
const HEADER: usize = 16;
/// Attributes.
const LINK_ADDRESS: u16 = 1;
const LINK_MTU: u16 = 4;
const ADDRESS: u16 = 1;
const LOCAL_ADDRESS: u16 = 2;
const ROUTE_DEVICE: u16 = 4;
const ROUTE_GATEWAY: u16 = 5;
const ROUTE_METRICS: u16 = 8;
const METRIC_WINDOW: u16 = 3;
/// Flags of a device, and of an address that nobody else can have.
const UP: u32 = 1;
const NO_DUPLICATE_DETECTION: u8 = 2;
/// The main routing table; a route set by an administrator; a route to a machine.
const MAIN_TABLE: u8 = 254;
const STATIC: u8 = 4;
const UNICAST: u8 = 1;
/// The group that hears of changes of devices.
const LINK_NEWS: u32 = 1;

/// `ip link set lo up`; the kernel then gives it 127.0.0.1 and ::1.
pub fn loopback_up() -> io::Result<()> {
    let kernel = Kernel::connect(0)?;
    kernel.ask(NEW_LINK, 0, &link_up(LOOPBACK)).map_err(failed("bring the loopback interface up"))
}

/// The device, and how it is configured. A template leaves all of this to the machines restored from it.
#[derive(Default)]
pub struct Device {
    at: Option<Place>,
    /// What it was told last, as far as the device goes.
    network: Network,
}

/// Where the kernel has the device.
struct Place {
    index: i32,
    /// Says whether it has a link: `1` where it has.
    carrier: File,
}

impl Device {
    /// Gives the device its addresses and routes. What a template was told already is not done again.
    pub fn configure(&mut self, network: &Network) -> io::Result<()> {
        let index = self.place()?.index;
        let shall = Network { resolver_file: String::new(), link: false, ..network.clone() };
        if self.network != shall {
            set_up(index, &self.network, &shall)?;
            self.network = shall;
        }
        Ok(())
    }

    /// Gives the device a MAC address of its own. Its driver takes one while the device is up.
    pub fn set_address(&mut self, mac_address: &[u8]) -> io::Result<()> {
        let index = self.place()?.index;
        let mut link = link_of(index, 0);
        attribute(&mut link, LINK_ADDRESS, mac_address);
        Kernel::connect(0)?.ask(NEW_LINK, 0, &link).map_err(failed("set the MAC address"))
    }

    /// Returns when packets can be sent.
    pub fn await_link(&mut self) -> io::Result<()> {
        let carrier = &self.place()?.carrier;
        if has_link(carrier) {
            return Ok(());
        }
        let Kernel(news) = Kernel::connect(LINK_NEWS)?;
        let deadline = Instant::now() + LINK_LIMIT;
        while !has_link(carrier) {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                log("the network's link is not up");
                return Ok(());
            };
            let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            if poll(&mut [PollFd::new(&news, PollFlags::IN)], Some(&left))? > 0 {
                // What changed is read from the device itself.
                recv(&news, &mut [0; 4096], RecvFlags::empty())?;
            }
        }
        Ok(())
    }

    fn place(&mut self) -> io::Result<&Place> {
        let place = self.at.take().map_or_else(Place::find, Ok)?;
        Ok(self.at.insert(place))
    }
}

impl Place {
    fn find() -> io::Result<Self> {
        let of_device = |name: &str| format!("/sys/class/net/{DEVICE}/{name}");
        let index = fs::read_to_string(of_device("ifindex")).map_err(failed("find the network device"))?;
        let index = index.trim().parse().map_err(failed("find the network device"))?;
        let carrier = File::open(of_device("carrier")).map_err(failed("find the network device's link"))?;
        Ok(Self { index, carrier })
    }
}

/// A device that is down has no answer.
fn has_link(carrier: &File) -> bool {
    let mut answer = [0; 1];
    carrier.read_at(&mut answer, 0).is_ok() && answer == *b"1"
}

/// Takes the device from how it is to how it shall be: each step costs a machine that was just restored some
/// ten milliseconds under emulation, so what is as it shall be is left alone.
fn set_up(index: i32, is: &Network, shall: &Network) -> io::Result<()> {
    let (old, new) = (routes(is)?, routes(shall)?);
    let (had_ipv6, has_ipv6) = (old.iter().any(Route::is_ipv6), new.iter().any(Route::is_ipv6));
    let first = old.is_empty();
    if first {
        // Without a link, programs hear at once that nothing can be reached.
        setting("ipv4", "ignore_routes_with_linkdown", "1");
        setting("ipv6", "ignore_routes_with_linkdown", "1");
    }
    if first || had_ipv6 != has_ipv6 {
        // A link-local address alone would lead programs to nowhere. What IPv6 has goes with it.
        setting("ipv6", "disable_ipv6", if has_ipv6 { "0" } else { "1" });
    }
    let kernel = Kernel::connect(0)?;
    for Route { address, prefix, .. } in old.iter().filter(|it| !new.contains(it) && (has_ipv6 || !it.is_ipv6())) {
        let body = address_of(index, *address, *prefix);
        kernel.ask(REMOVE_ADDRESS, 0, &body).map_err(failed(&format!("remove the address {address}")))?;
    }
    if first || is.mtu != shall.mtu {
        let mut link = link_up(index);
        attribute(&mut link, LINK_MTU, &shall.mtu.to_ne_bytes());
        kernel.ask(NEW_LINK, 0, &link).map_err(failed("bring the network device up"))?;
    }
    for Route { address, prefix, gateway } in new.iter().filter(|it| !old.contains(it) || is.window != shall.window) {
        let body = address_of(index, *address, *prefix);
        kernel.ask(NEW_ADDRESS, CREATE_OR_REPLACE, &body).map_err(failed(&format!("set the address {address}")))?;
        let body = default_route(index, *gateway, shall.window);
        kernel.ask(NEW_ROUTE, CREATE_OR_REPLACE, &body).map_err(failed(&format!("set the route by {gateway}")))?;
    }
    Ok(())
}

/// An address of the machine, and where what it sends from there goes first.
#[derive(Debug, PartialEq, Eq)]
struct Route {
    address: IpAddr,
    prefix: u8,
    gateway: IpAddr,
}

impl Route {
    fn is_ipv6(&self) -> bool {
        self.address.is_ipv6()
    }
}

/// Those of a network, one of a family.
fn routes(network: &Network) -> io::Result<Vec<Route>> {
    let gateways: Vec<IpAddr> =
        network.gateways.iter().map(|text| text.parse().map_err(failed(text))).collect::<io::Result<_>>()?;
    let route = |text: &String| {
        let (address, prefix) = parse(text)?;
        let gateway = gateways.iter().find(|gateway| gateway.is_ipv6() == address.is_ipv6());
        let gateway = *gateway.ok_or_else(|| io::Error::other(format!("{text} has no gateway")))?;
        Ok(Route { address, prefix, gateway })
    };
    network.addresses.iter().map(route).collect()
}

/// A setting of the device; a kernel that does not know it does without.
fn setting(family: &str, name: &str, value: &str) {
    let _ = fs::write(format!("/proc/sys/net/{family}/conf/{DEVICE}/{name}"), value);
}

fn parse(text: &str) -> io::Result<(IpAddr, u8)> {
    let (address, prefix) = text.split_once('/').ok_or_else(|| io::Error::other(format!("{text} has no prefix")))?;
    Ok((address.parse().map_err(failed(text))?, prefix.parse().map_err(failed(text))?))
}

fn family(address: IpAddr) -> u8 {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    family.as_raw() as u8
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn link_up(index: i32) -> Vec<u8> {
    link_of(index, UP)
}

/// `flags` are set, and no others are changed.
fn link_of(index: i32, flags: u32) -> Vec<u8> {
    let mut body = vec![0; 4]; // any family, padding, type
    body.extend(index.to_ne_bytes());
    body.extend(flags.to_ne_bytes());
    body.extend(flags.to_ne_bytes()); // which of them change
    body
}

fn address_of(index: i32, address: IpAddr, prefix: u8) -> Vec<u8> {
    let mut body = vec![family(address), prefix, NO_DUPLICATE_DETECTION, 0];
    body.extend(index.to_ne_bytes());
    attribute(&mut body, LOCAL_ADDRESS, &octets(address));
    attribute(&mut body, ADDRESS, &octets(address));
    body
}

fn default_route(index: i32, gateway: IpAddr, window: u32) -> Vec<u8> {
    let mut body = vec![family(gateway), 0, 0, 0, MAIN_TABLE, STATIC, 0, UNICAST];
    body.extend([0; 4]); // flags
    attribute(&mut body, ROUTE_GATEWAY, &octets(gateway));
    attribute(&mut body, ROUTE_DEVICE, &index.to_ne_bytes());
    if window != 0 {
        let mut metrics = Vec::new();
        attribute(&mut metrics, METRIC_WINDOW, &window.to_ne_bytes());
        attribute(&mut body, ROUTE_METRICS, &metrics);
    }
    body
}

/// Adds an attribute: its length, kind and value, filled up to four bytes.
fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    body.extend((value.len() as u16 + 4).to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// A conversation with the kernel.
struct Kernel(OwnedFd);

impl Kernel {
    /// `groups` are those whose news are heard.
    fn connect(groups: u32) -> io::Result<Self> {
        // No protocol number: 0 is NETLINK_ROUTE.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, groups))?;
        Ok(Self(socket))
    }

    /// Sends a request and awaits its acknowledgement.
    fn ask(&self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        let mut message = Vec::with_capacity(HEADER + body.len());
        message.extend(((HEADER + body.len()) as u32).to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend((REQUEST_AND_ACKNOWLEDGE | flags).to_ne_bytes());
        message.extend([0; 8]); // sequence, port
        message.extend(body);
        send(&self.0, &message, SendFlags::empty())?;
        let mut answer = [0; 1024];
        let (read, _) = recv(&self.0, &mut answer, RecvFlags::empty())?;
        let is_error = answer[4..6] == ERROR.to_ne_bytes() && read >= HEADER + 4;
        let number = i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]);
        match number {
            _ if !is_error => Err(io::Error::other("the kernel did not acknowledge")),
            0 => Ok(()),
            number => Err(io::Error::from_raw_os_error(-number)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_filled_up_to_four_bytes() {
        let mut body = Vec::new();
        attribute(&mut body, 5, &[1, 2, 3, 4, 5]);
        assert_eq!(body.len(), 12);
        assert_eq!(body[..4], [9u16.to_ne_bytes(), 5u16.to_ne_bytes()].concat());
    }

    #[test]
    fn the_kernel_says_what_it_refuses() {
        // Whether or not one may: there is no such device.
        let refused = Kernel::connect(0).unwrap().ask(NEW_LINK, 0, &link_up(i32::MAX)).unwrap_err();
        assert!(refused.raw_os_error().is_some(), "{refused}");
    }

    #[test]
    fn each_address_has_a_gateway_of_its_family() {
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let addresses = texts(&["172.29.100.2/30", "fd70::2/64"]);
        let network =
            |gateways| Network { addresses: addresses.clone(), gateways: texts(gateways), ..Network::default() };
        let both = routes(&network(&["fd70::1", "172.29.100.1"])).unwrap();
        let gateways: Vec<String> = both.iter().map(|route| route.gateway.to_string()).collect();
        assert_eq!(gateways, ["172.29.100.1", "fd70::1"]);
        assert_eq!(routes(&network(&["172.29.100.1"])).unwrap_err().to_string(), "fd70::2/64 has no gateway");
        assert!(routes(&network(&["x"])).is_err());
    }

    #[test]
    fn addresses_have_a_prefix() {
        assert_eq!(parse("172.29.100.2/30").unwrap(), (IpAddr::from([172, 29, 100, 2]), 30));
        assert!(parse("172.29.100.2").is_err() && parse("x/30").is_err() && parse("::1/300").is_err());
    }
}
