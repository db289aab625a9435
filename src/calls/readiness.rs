//! Whether this process takes calls.

use std::time::Instant;

use switchboard_actors::registry::messages::Count;

use super::Calls;

/// Why it takes none; empty if it does.
pub(crate) async fn reasons_against(calls: &Calls) -> Vec<&'static str> {
    let mut reasons = Vec::new();
    if calls.table.is_draining() {
        reasons.push("draining");
    }
    match calls.table.ask(Count).await {
        Some(occupancy) if occupancy.taken >= occupancy.capacity => reasons.push("full"),
        Some(_) => {}
        None => reasons.push("registry_silent"),
    }
    let block = calls.table.admission.shut(Instant::now());
    reasons.extend(block.map(|block| block.label()));
    reasons.extend(calls.agents.trouble_of_the_book());
    if !calls.store.is_usable() {
        reasons.push("store_unusable");
    }
    reasons
}
