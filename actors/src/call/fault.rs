//! Faults put into a call on purpose: which part of it each one strikes.

use actix::{AsyncContext as _, Context, Handler, WrapFuture as _};

use super::CallActor;
use crate::fault::{CAUSE, Fault, SessionFault};
use crate::tools::ToolStep;

impl Handler<Fault> for CallActor {
    type Result = ();

    fn handle(&mut self, fault: Fault, ctx: &mut Context<Self>) {
        match fault {
            Fault::PanicInStep | Fault::StallStep(_) => self.planned.for_step(fault),
            Fault::PanicInActor => self.guarded(ctx, |_, _| panic!("{CAUSE}")),
            Fault::PanicUnguarded => panic!("{CAUSE}"),
            Fault::PanicInEffect => self.planned.for_effect(),
            Fault::PanicInStart => {
                self.planned.for_starts();
                self.guarded(ctx, |_, _| panic!("{CAUSE}"));
            }
            Fault::Spoil => self.planned.spoil(),
            Fault::StopTool(ToolStep::AfterCheckpoint) => self.planned.for_checkpoint(),
            Fault::PanicInTool | Fault::StopTool(_) => self.planned.for_tool(fault),
            Fault::PanicInModel => self.break_model(SessionFault::Panic),
            Fault::PanicInPhone => self.phone.do_send(SessionFault::Panic),
            // Until it is over an actor handles no message and no timer.
            Fault::StallActor(time) => ctx.wait(actix_rt::time::sleep(time).into_actor(self)),
            Fault::StallModel(time) => self.break_model(SessionFault::Stall(time)),
            Fault::StallPhone(time) => self.phone.do_send(SessionFault::Stall(time)),
        }
    }
}

impl CallActor {
    fn break_model(&self, fault: SessionFault) {
        // A call without a session has none that could fail.
        if let Some((_, model)) = self.lines.first() {
            model.fail(fault);
        }
    }
}
