//! What an operator does with a client's conversations: all of them at once, while some are asked, or
//! on the command line while no server runs.

use std::ops::{ControlFlow, RangeInclusive};

use anyhow::bail;
use rand::RngExt;
use tokio::sync::Notify;

use super::calls::{Call, Reading, Request, erase};
use super::control::{Order, Said, Socket};
use super::dialect::Dialect;
use super::journal::{Conversation, Deed};
use super::load::{Came, Client, Lines, came, perform};
use crate::http::Asked;

/// What every receipt's id begins with.
const RECEIPT: &str = "er_";

/// What an order for the command line is about.
pub(super) enum Erased {
    One(Box<Conversation>),
    /// The user, with so many conversations and responses that stand alone.
    All(RangeInclusive<usize>),
}

/// Whether a conversation can be asked, with an outcome that nothing else disturbs.
fn is_known(conversation: &Conversation) -> bool {
    conversation.name.whole.is_some() && !conversation.is_busy()
}

impl Client {
    /// Erases the user, if it is this client's alone, while two of its conversations are asked.
    pub(super) async fn erase_all(&mut self, lines: &mut Lines<'_>) -> ControlFlow<()> {
        let known = self.conversations.iter().filter(|one| is_known(one));
        let (Some(order), true) = (self.order(), known.count() >= 2) else {
            return ControlFlow::Continue(());
        };
        let (Some(mut first), Some(mut second)) = (lines.take().await, lines.take().await) else {
            return ControlFlow::Break(());
        };
        let (Some((one, conversation)), Some((other, another))) =
            (self.question(), self.question())
        else {
            return ControlFlow::Continue(());
        };
        let (alone, _) = self.alone_responses.counts();
        self.leave();
        self.is_locked_out = true;
        let mut conversation = self.sent(conversation, &[&one]);
        let mut another = self.sent(another, &[&other]);
        (conversation.leaving, another.leaving) = (true, true);
        let place = lines.place;
        let sent = &place.moments.order;
        let (came, too, said) = tokio::join!(
            perform(&mut first, &one, place),
            perform(&mut second, &other, place),
            place.socket.order(&order, sent),
        );
        lines.give(first, &came);
        lines.give(second, &too);
        let asked = self.learn(&mut conversation, &one, &came);
        let asked_too = self.learn(&mut another, &other, &too);
        self.conversations.extend([conversation, another]);
        let broken = asked.is_break() || asked_too.is_break();
        let count = self.conversations.len() + alone;
        if !self.erased(&order, &said, count..=count) || broken {
            return ControlFlow::Break(());
        }
        match self.let_in(place.socket).await {
            Ok(()) => ControlFlow::Continue(()),
            // The server was killed; there are other keys after the restart.
            Err(_) => ControlFlow::Break(()),
        }
    }

    /// Makes other keys, where those that there were may have been revoked.
    pub(super) async fn let_in(&mut self, socket: &Socket) -> anyhow::Result<()> {
        let Some(user) = self.alone.clone().filter(|_| self.is_locked_out) else {
            return Ok(());
        };
        let mut secrets = self.keys.secrets.clone();
        for (secret, dialect) in secrets.iter_mut().zip(Dialect::ALL) {
            let order = Order::CreateKey {
                project: "default".to_owned(),
                dialect,
                app: "default".to_owned(),
                user: user.clone(),
            };
            match socket.order(&order, &Notify::new()).await {
                Said::Done(made) => made.trim().clone_into(secret),
                said @ (Said::Refused(_) | Said::Unheard | Said::Unknown) => {
                    bail!("no key was made: {said:?}")
                }
            }
        }
        self.keys.secrets = secrets;
        self.is_locked_out = false;
        Ok(())
    }

    /// The order to erase the user.
    fn order(&self) -> Option<Order> {
        let user = self.alone.clone()?;
        Some(Order::EraseUser { user })
    }

    /// Takes a conversation out, with a question to it whose answer is a stream.
    fn question(&mut self) -> Option<(Call, Conversation)> {
        let at = self.conversations.iter().position(is_known)?;
        let conversation = self.conversations.swap_remove(at);
        let mut ask = self.caller().question(&conversation);
        (ask.reading, ask.may_fail) = (Reading::Whole, true);
        Some((ask, conversation))
    }

    /// Notes that all conversations are about to be deleted.
    fn leave(&mut self) {
        for conversation in &mut self.conversations {
            conversation.send(&Deed::Delete);
        }
        self.alone_responses.leave();
    }

    /// Notes what has come of the order to erase the user, which has to have erased so many
    /// conversations and responses. False if it is not known.
    fn erased(&mut self, order: &Order, said: &Said, wanted: RangeInclusive<usize>) -> bool {
        match said {
            Said::Done(text) => {
                let answer = came(Said::Done(text.clone()));
                let receipts = self.receipts(&answer, wanted);
                for conversation in std::mem::take(&mut self.conversations) {
                    self.bury(&conversation, None);
                }
                self.alone_responses.bury_all();
                for (gone, receipt) in self.gone.iter_mut().rev().zip(receipts) {
                    gone.receipt = Some(receipt);
                }
                *self.counts.acknowledged.entry(order.name()).or_default() += 1;
                true
            }
            Said::Refused(why) => {
                let number = self.number;
                self.wrong
                    .push(format!("client {number}: its user was not erased: {why}"));
                true
            }
            Said::Unheard | Said::Unknown => {
                self.counts.unknown += 1;
                self.counts.orders += 1;
                false
            }
        }
    }

    /// The receipts that an order has printed, which have to be so many.
    pub(super) fn receipts(&mut self, came: &Came, wanted: RangeInclusive<usize>) -> Vec<String> {
        let Came::Asked(Asked::Whole(answer)) = came else {
            return Vec::new();
        };
        let text = String::from_utf8_lossy(&answer.body);
        let lines = text.lines().filter(|line| line.starts_with(RECEIPT));
        let receipts: Vec<String> = lines.map(str::to_owned).collect();
        if !wanted.contains(&receipts.len()) || text.lines().count() != receipts.len() {
            let number = self.number;
            self.wrong.push(format!(
                "client {number}: {wanted:?} conversations and responses were erased, and it was told {text:?}"
            ));
        }
        receipts
    }

    /// An order for the command line: the user, or one conversation, which is taken out.
    pub(super) fn offline(&mut self) -> Option<(Call, Erased)> {
        // Those that the kill has left in doubt may be gone.
        let certain = |one: &Conversation| !one.leaving;
        let certain: Vec<usize> = (0..self.conversations.len())
            .filter(|at| self.conversations.get(*at).is_some_and(certain))
            .collect();
        let at = self.rng.random_range(0..certain.len().max(1));
        let at = *certain.get(at)?;
        if let Some(order) = self.order().filter(|_| self.rng.random_bool(0.5)) {
            let (alone, most_alone) = self.alone_responses.counts();
            let most = self.conversations.len() + self.making.len() + most_alone;
            let least = certain.len() + alone;
            self.leave();
            self.is_locked_out = true;
            let call = Call {
                dialect: Dialect::OpenAi,
                request: Request::Order(order),
                deeds: vec![Deed::Delete],
                reading: Reading::Whole,
                may_fail: false,
            };
            return Some((call, Erased::All(least..=most)));
        }
        let conversation = self.conversations.swap_remove(at);
        let call = erase(&conversation);
        let conversation = self.sent(conversation, &[&call]);
        Some((call, Erased::One(Box::new(conversation))))
    }

    /// Notes what has come of it.
    pub(super) fn offline_done(&mut self, call: &Call, of: Erased, said: Said) {
        match (of, &call.request) {
            (Erased::One(mut conversation), _) => {
                let came = came(said);
                // There is no connection that could be given up.
                self.learn(&mut conversation, call, &came).is_break();
                self.put_back(*conversation, &[(call, &came)]);
            }
            (Erased::All(wanted), Request::Order(order)) => {
                self.erased(order, &said, wanted);
            }
            // Nobody erases a user over HTTP.
            (Erased::All(_), Request::Http(_)) => {}
        }
    }
}
