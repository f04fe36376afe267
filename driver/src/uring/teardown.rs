//! Dropping the driver: end every request, close every socket, and only then free what the kernel was lent.

use std::mem::ManuallyDrop;
use std::time::Duration;

use super::UringDriver;
use super::buffers::GROUP;

/// How long dropping waits for requests to end; a disk may take its time with a write.
const PATIENCE: Duration = Duration::from_secs(5);

impl Drop for UringDriver {
    fn drop(&mut self) {
        self.bell.set_ring(-1);
        if !self.ring.quench(PATIENCE) {
            tracing::error!(armed = self.ring.armed(), "requests did not end; their memory is leaked");
            return;
        }
        let submitter = self.ring.io().submitter();
        // Here and not when the kernel frees the ring, which it does later: peers learn it now.
        if let Err(error) = submitter.unregister_files() {
            tracing::debug!(%error, "direct descriptors close with the ring");
        }
        if let Err(error) = submitter.unregister_buf_ring(GROUP) {
            tracing::error!(%error, "the receive buffers are still the kernel's; they are leaked");
            return;
        }
        // SAFETY: nothing is armed and the buffer group is gone, so the kernel uses none of these; they
        // are not used again, because this is the drop of their owner, and dropped nowhere else.
        unsafe {
            ManuallyDrop::drop(&mut self.buffers);
            ManuallyDrop::drop(&mut self.acceptor);
            ManuallyDrop::drop(&mut self.in_flight);
            ManuallyDrop::drop(&mut self.payloads);
        }
    }
}
