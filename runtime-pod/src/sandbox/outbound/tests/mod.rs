mod calls;
mod policy;
mod server;
mod stuck;
mod tls;
mod windows;

use wasmfn_crds::spec;

use super::AllowList;

/// What a function of namespace `team` may call.
fn list(hosts: &[&str], services: &[&str]) -> AllowList {
    let own = |entries: &[&str]| entries.iter().map(|entry| (*entry).to_owned()).collect();
    let outbound = spec::Outbound {
        hosts: own(hosts),
        services: own(services),
    };
    AllowList::read(&outbound, "team").unwrap()
}
