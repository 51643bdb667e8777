use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Resolves names and refuses those that lead into a private network. It sits where connections are made, so a name that
/// changes its mind between a check and the connection is caught too.
pub(super) struct GuardedResolver {
    pub(super) allow_private: bool,
}

/// A destination's name leads to an address that the deployment does not allow.
#[derive(Debug, thiserror::Error)]
#[error("the destination's name leads to a private, loopback or link-local address")]
pub(super) struct ForbiddenAddress;

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            // One bad address is enough: which one is connected to is not ours to choose.
            if !allow_private && found.iter().any(|address| !is_public(address.ip())) {
                return Err(ForbiddenAddress.into());
            }
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

/// True for an address on the public internet: not private, loopback, link-local (which has the metadata service of
/// clouds), shared, multicast, reserved, or one of these inside an IPv6 address.
pub(super) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

/// The special-purpose registry of IANA (RFC 6890 and later).
fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = a == 0
        || ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation()
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19))
        || a >= 240;
    !special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let s = ip.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        // ::, ::1, IPv4-compatible, IPv4-mapped and IPv4-translated addresses.
        [0, 0, 0, 0, 0, 0, high, low] => (high, low) > (0, 1) && embedded(high, low),
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => embedded(high, low),
        // NAT64 (RFC 6052) and its local form (RFC 8215).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x64, 0xff9b, 1, ..] => false,
        // 6to4 carries the IPv4 address behind its prefix; Teredo hides it.
        [0x2002, high, low, ..] => embedded(high, low),
        [0x2001, 0 | 0xdb8, ..] => false,
        // Discard-only.
        [0x100, 0, 0, 0, ..] => false,
        // Unique local, link-local, site-local, multicast.
        [first, ..] => !matches!(first, 0xfc00..=0xfdff | 0xfe80..=0xfeff | 0xff00..=0xffff),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_pass() {
        let public = [
            "8.8.8.8",
            "203.0.114.1",
            "100.128.0.1",
            "172.32.0.1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ];
        let private = [
            "0.0.0.0",
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a00:1",
            "2002:a00:1::1",
            "2001::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
        ];
        for ip in public {
            assert!(is_public(ip.parse().expect("an address")), "{ip}");
        }
        for ip in private {
            assert!(!is_public(ip.parse().expect("an address")), "{ip}");
        }
    }
}
