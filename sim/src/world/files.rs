//! What shards ask of the disk, and what comes of it.

use bytes::Bytes;
use ringwire_driver::{FileId, Operation};

use super::{Event, Work, World};
use crate::check::{Promise, Verdict};
use crate::disk::{Death, lock, name_of};
use crate::driver::{FileState, Happened};
use crate::plant::Plant;

/// How much longer everything takes while the disk is slow.
const SLOW: u64 = 20;

impl World {
    /// How long the next operation takes.
    fn disk_time_us(&mut self) -> u64 {
        let (first, last) = self.settings.disk.time_us;
        let time_us = self.random.disk.within(first..=last);
        if self.now_us < self.slow_disk_until_us { time_us * SLOW } else { time_us }
    }

    /// Whether the disk fails now.
    fn disk_fails(&mut self) -> bool {
        let fails = self.disk_failures > 0 && self.random.disk.one_in(2);
        self.disk_failures -= u32::from(fails);
        fails
    }

    fn plan_work(&mut self, epoch: u32, shard: usize, work: Work) {
        let in_us = self.disk_time_us();
        self.plan(in_us, Event::Disk { epoch, shard, work: Box::new(work) });
    }

    /// Takes an operation that concerns files.
    pub(super) fn ask_disk(&mut self, epoch: u32, shard: usize, operation: Operation) -> Verdict {
        let Some(seat) = self.seat(epoch, shard) else { return Ok(()) };
        let driver = &mut seat.driver;
        match operation {
            Operation::CreateFile { file, path, bytes } => {
                self.begin_opening(epoch, shard, file)?;
                let name = name_of(&path);
                let inode = if self.disk_fails() { None } else { lock(&self.disk).create(&name).ok() };
                self.plan_work(epoch, shard, Work::Create { file, name, bytes, inode });
            }
            Operation::OpenFile { file, path } => {
                self.begin_opening(epoch, shard, file)?;
                self.plan_work(epoch, shard, Work::Open { file, name: name_of(&path) });
            }
            Operation::CloseFile { file } => {
                let known = driver.files.remove(&file.0).is_some();
                Promise::Contract
                    .holds(known, || format!("shard {shard} closes {file:?}, which is not open"))?;
            }
            Operation::WriteSync { file, offset, data } => {
                let inode = driver.open_file(file);
                Promise::Contract.holds(inode.is_some(), || {
                    format!("shard {shard} writes to {file:?}, which is not open")
                })?;
                let fails = self.disk_fails();
                if let Some(inode) = inode {
                    lock(&self.disk).write(inode, offset, &data);
                }
                self.trace.note(self.now_us, "write", offset, data.len() as u64);
                self.plan_work(epoch, shard, Work::Sync { file, inode, fails });
            }
            Operation::Read { file, offset, bytes, tag } => {
                let inode = driver.open_file(file);
                Promise::Contract.holds(inode.is_some(), || {
                    format!("shard {shard} reads from {file:?}, which is not open")
                })?;
                self.counts.disk_reads += 1;
                let fails = self.disk_fails();
                self.plan_work(epoch, shard, Work::Read { inode, offset, bytes, tag, fails });
            }
            Operation::Job(job) => {
                driver.jobs.push_back(job);
                self.begin_job(epoch, shard);
            }
            Operation::Close { .. } | Operation::StopAccepting | Operation::Ring { .. } => {}
        }
        Ok(())
    }

    fn begin_opening(&mut self, epoch: u32, shard: usize, file: FileId) -> Verdict {
        let Some(seat) = self.seat(epoch, shard) else { return Ok(()) };
        let former = seat.driver.files.insert(file.0, FileState::Opening);
        Promise::Contract.holds(former.is_none(), || format!("shard {shard} gives {file:?} to a second file"))
    }

    /// Begins the next job, unless one is under way.
    fn begin_job(&mut self, epoch: u32, shard: usize) {
        let Some(seat) = self.seat(epoch, shard) else { return };
        if seat.driver.is_working {
            return;
        }
        if let Some(job) = seat.driver.jobs.pop_front() {
            seat.driver.is_working = true;
            self.plan_work(epoch, shard, Work::Run(job));
        }
    }

    pub(super) fn on_disk(&mut self, epoch: u32, shard: usize, work: Work) -> Verdict {
        if self.seat(epoch, shard).is_none() {
            // The process is dead, and with it whoever asked.
            return Ok(());
        }
        let happened = match work {
            Work::Create { file, name, bytes, inode } => {
                let mut disk = lock(&self.disk);
                let result = match inode {
                    Some(_) => {
                        disk.created(&name, bytes);
                        Ok(())
                    }
                    None => {
                        let error = std::io::ErrorKind::StorageFull;
                        Err(std::io::Error::new(error, "no space left, says the simulation"))
                    }
                };
                drop(disk);
                self.set_opened(epoch, shard, file, inode);
                Happened::FileReady(file, result)
            }
            Work::Open { file, name } => {
                let inode = lock(&self.disk).find(&name);
                self.set_opened(epoch, shard, file, inode);
                let missing =
                    || std::io::Error::new(std::io::ErrorKind::NotFound, format!("there is no {name}"));
                Happened::FileReady(file, inode.map(drop).ok_or_else(missing))
            }
            Work::Sync { file, inode, fails } => {
                let result = self.sync(inode, fails);
                Happened::Synced(file, result)
            }
            Work::Read { inode, offset, bytes, tag, fails } => {
                let disk = lock(&self.disk);
                let result = match inode.filter(|_| !fails) {
                    Some(inode) => Ok(Bytes::copy_from_slice(disk.read(inode, offset, bytes as usize))),
                    None => Err(std::io::Error::other("the disk cannot read, says the simulation")),
                };
                Happened::ReadDone(tag, result)
            }
            Work::Run(job) => {
                let tag = job.tag;
                let fuse = self.fuse.take();
                if let Some(steps) = fuse {
                    lock(&self.disk).light_fuse(steps);
                }
                let result = (job.work)();
                if lock(&self.disk).put_out_fuse() {
                    self.trace.note(self.now_us, "died-in-job", tag, 0);
                    self.die(Death::PowerCut);
                    return Ok(());
                }
                if let Some(seat) = self.seat(epoch, shard) {
                    seat.driver.is_working = false;
                }
                self.begin_job(epoch, shard);
                Happened::JobDone(tag, result)
            }
        };
        if let Some(seat) = self.seat(epoch, shard) {
            seat.driver.inbox.push_back(happened);
        }
        let in_us = self.random.schedule.within(1..=10);
        self.wake(shard, in_us);
        self.plan_checkpoint();
        Ok(())
    }

    fn set_opened(&mut self, epoch: u32, shard: usize, file: FileId, inode: Option<crate::disk::Inode>) {
        let Some(seat) = self.seat(epoch, shard) else { return };
        // Closed meanwhile: nobody wants it any more.
        if !seat.driver.files.contains_key(&file.0) {
            return;
        }
        match inode {
            Some(inode) => seat.driver.files.insert(file.0, FileState::Open(inode)),
            None => seat.driver.files.remove(&file.0),
        };
    }

    fn sync(&mut self, inode: Option<crate::disk::Inode>, fails: bool) -> std::io::Result<()> {
        let Some(inode) = inode else { return Err(std::io::Error::other("there is no such file")) };
        let mut disk = lock(&self.disk);
        if fails {
            disk.fail_sync(inode, &mut self.random.disk);
            return Err(std::io::Error::other("input/output error, says the simulation"));
        }
        // The planted bug: the write is in memory only, and somebody says that it is on disk.
        let skips = self.plant == Some(Plant::SkippedSync) && self.random.disk.one_in(2);
        if !skips {
            disk.sync(inode);
        }
        Ok(())
    }
}
