//! Faults put into the registry, and through it into a call.

use actix::{AsyncContext as _, Context, Handler, WrapFuture as _};
use call_protocol::phone::CallSid;

use super::{Registry, Reply};
use crate::fault::{Break, CAUSE, Fault, RegistryFault};

impl Registry {
    fn break_call(&self, call: CallSid, fault: Fault) -> bool {
        let mut live = self.live.values();
        let found = live
            .rfind(|live| live.call == Some(call))
            .and_then(|live| live.faults.as_ref()?.upgrade());
        if let Some(faults) = &found {
            faults.do_send(fault);
        }
        found.is_some()
    }
}

impl Handler<Break> for Registry {
    type Result = Reply<bool>;

    fn handle(&mut self, Break(call, fault): Break, _: &mut Context<Self>) -> Self::Result {
        self.guarded(|registry| registry.break_call(call, fault))
    }
}

impl Handler<RegistryFault> for Registry {
    type Result = Reply<()>;

    fn handle(&mut self, fault: RegistryFault, ctx: &mut Context<Self>) -> Self::Result {
        if let RegistryFault::Stall(time) = fault {
            ctx.wait(actix_rt::time::sleep(time).into_actor(self));
        }
        self.guarded(|registry| {
            if fault == RegistryFault::Panic {
                // As if in the middle of something.
                registry.waiting = usize::MAX;
                registry.expiries.clear();
                panic!("{CAUSE}");
            }
        })
    }
}
