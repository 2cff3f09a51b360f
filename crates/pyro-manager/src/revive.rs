//! Another supervisor for a VM or task whose own one is dead: it was killed, or the host was started anew.

use pyro_store::Record;
use tokio::sync::mpsc;

use crate::environments::disk_over;
use crate::payload::HOST_COMPAT;
use crate::supervisor::launch::launch;
use crate::threads::off_thread;
use crate::{Error, Pyro};

impl Pyro {
    /// Sees to it that it has a supervisor, which starts its machine when it is asked to.
    pub(crate) async fn supervised(&self, record: &Record) -> Result<(), Error> {
        if self.reach(record).await?.is_some() {
            return Ok(());
        }
        // A supervisor of this release would keep it from the release that can start it. What else is wrong with the
        // environment is told by the start.
        if record.execution_mode != HOST_COMPAT
            && let Ok(installed) = self.installed(&record.environment).await
        {
            disk_over(record, &installed)?;
        }
        self.supervise_again(record).await
    }

    /// One that lives again already is left to whoever did that.
    async fn supervise_again(&self, record: &Record) -> Result<(), Error> {
        let (machines, id) = (self.machines(), record.id.clone());
        let taken = off_thread(move || {
            let Some((_, life)) = machines.take_over(&id)? else { return Ok(None) };
            machines.release_slot(&id);
            Ok(Some(life))
        });
        let Some(life) = taken.await? else { return Ok(()) };
        self.failpoints.reached("revive.before");
        let (events, mut heard) = mpsc::channel(16);
        let directory = self.machines().directory(&record.id);
        let launched = async {
            let events = events;
            launch(&self.config, &record.id, &directory, life, None, &events).await
        };
        let (launched, ()) = tokio::join!(launched, async { while heard.recv().await.is_some() {} });
        self.failpoints.reached("revive.after");
        launched.map(drop)
    }
}
