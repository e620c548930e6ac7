//! The sample feed of `halley dev`: prices, orders, logs and a little talk, made up but believable.
//!
//! Pure and deterministic: the same seed and the same times give the same records.

use serde_json::{Value, json};

/// One record to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleRecord {
    /// One of [`TOPICS`].
    pub topic: &'static str,
    /// The key: a symbol, an order's id, an application, a chat room, a user.
    pub key: String,
    /// Header names and values.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub value: Vec<u8>,
}

/// The topics that the sample routes are about, and how many partitions suit each.
pub const TOPICS: [(&str, i32); 7] = [
    ("prices", 4),
    ("orders.eu", 2),
    ("orders.us", 2),
    ("orders.apac", 2),
    ("logs", 2),
    ("chat", 2),
    ("inbox", 2),
];

/// The topics of the sample route that asks. Nothing of the feed is in them, and nobody answers but who tries.
pub const ASKED: [(&str, i32); 2] = [("quotes", 1), ("quote-replies", 1)];

/// How often to call [`SampleFeed::next`] for the feed to look alive, in milliseconds.
pub const EVERY_MS: i64 = 50;

/// After a pause longer than this, in milliseconds, the feed goes on from now instead of making up for it.
const LONGEST_GAP_MS: i64 = 2_000;

/// Symbol, name, opening price in cents.
const STOCKS: [(&str, &str, i32); 12] = [
    ("ACME", "Acme Rockets", 10_240),
    ("BAYX", "Bayeux Textiles", 6_618),
    ("COMT", "Comet Couriers", 4_305),
    ("GLBX", "Globex", 21_570),
    ("HALY", "Halley Optics", 7_586),
    ("HRLD", "Harold Archery", 1_442),
    ("HSTG", "Hastings Steel", 3_890),
    ("NRMD", "Normandy Lines", 5_127),
    ("ODOB", "Odo Brewing", 2_264),
    ("SMSA", "Samsa Labs", 912),
    ("TPST", "Tapestry Media", 13_775),
    ("WNDR", "Wonder Wheels", 30_890),
];

const REGIONS: [Region; 3] = [
    Region { topic: "orders.eu", name: "eu", currency: "EUR" },
    Region { topic: "orders.us", name: "us", currency: "USD" },
    Region { topic: "orders.apac", name: "apac", currency: "SGD" },
];

const ITEMS: [&str; 8] = [
    "espresso machine",
    "desk lamp",
    "field notebook",
    "noise-free keyboard",
    "rain jacket",
    "telescope",
    "tea sampler",
    "linen tapestry",
];

/// What an order goes through; each step is a new record under the order's key.
const STEPS: [&str; 4] = ["placed", "paid", "packed", "shipped"];

/// Application, level, message; `{}` is a number.
const LOG_LINES: [(&str, &str, &str); 14] = [
    ("checkout", "info", "payment {} authorised"),
    ("checkout", "info", "cart {} checked out"),
    ("checkout", "warn", "card network slow, retry {}"),
    ("checkout", "error", "payment {} declined by issuer"),
    ("gateway", "info", "session opened, {} active"),
    ("gateway", "info", "config unchanged, revision {}"),
    ("gateway", "debug", "keep-alive from {} clients"),
    ("search", "info", "query answered in {} ms"),
    ("search", "info", "index refreshed, {} documents"),
    ("search", "warn", "shard {} over its latency budget"),
    ("warehouse", "info", "pick list {} printed"),
    ("warehouse", "info", "dock {} ready for loading"),
    ("warehouse", "debug", "scanner {} back online"),
    ("warehouse", "warn", "bin {} below its minimum"),
];

const TALK: [(&str, &str); 10] = [
    ("matilda", "Good morning! Prices are live, orders are coming in."),
    ("odo", "Say something below: it goes to Kafka and comes back from there."),
    ("harold", "Anyone else watching ACME today?"),
    ("matilda", "Watching /prices/*, one subscription for all of them."),
    ("odo", "Open this page in a second window and we can talk."),
    ("harold", "The log on the right is one topic, /logs/**."),
    ("matilda", "Filter the orders by region: it is just another channel."),
    ("odo", "Add ?transport=long-polling to the address. Same events, no WebSocket."),
    ("harold", "Is that a comet?"),
    ("matilda", "It comes back every 76 years. Reconnects are faster here."),
];

/// Makes up the records. Drive it with [`SampleFeed::next`].
#[derive(Debug)]
pub struct SampleFeed {
    random: Random,
    stocks: Vec<Stock>,
    open_orders: Vec<Order>,
    next_order: u32,
    talked: usize,
    due: Due,
}

#[derive(Debug)]
struct Stock {
    symbol: &'static str,
    name: &'static str,
    open: i32,
    price: i32,
    volume: i32,
}

#[derive(Debug)]
struct Region {
    topic: &'static str,
    name: &'static str,
    currency: &'static str,
}

#[derive(Debug)]
struct Order {
    id: u32,
    region: &'static Region,
    item: &'static str,
    quantity: i32,
    cents: i32,
    /// How many of [`STEPS`] are behind it.
    steps: usize,
}

/// When the next record of each kind is due, in milliseconds since 1970.
#[derive(Debug)]
struct Due {
    price: i64,
    order: i64,
    log: i64,
    chat: i64,
    inbox: i64,
}

/// `SplitMix64`: enough for a sample, and the same everywhere.
#[derive(Debug)]
struct Random(u64);

// === impl SampleFeed ===

impl SampleFeed {
    /// A feed that begins at `now`, milliseconds since 1970.
    pub fn new(seed: u64, now: i64) -> Self {
        let stocks = STOCKS.map(|(symbol, name, open)| Stock { symbol, name, open, price: open, volume: 0 });
        Self {
            random: Random(seed),
            stocks: stocks.into(),
            open_orders: Vec::new(),
            next_order: 1042,
            talked: 0,
            due: Due { price: now, order: now, log: now, chat: now + 1_500, inbox: now + 4_000 },
        }
    }

    /// Everything due by `now`, milliseconds since 1970: about ten prices, two orders and two log lines a second,
    /// a chat message and a note to a user now and then.
    pub fn next(&mut self, now: i64) -> Vec<SampleRecord> {
        let mut records = Vec::new();
        while let Some(at) = due(&mut self.due.price, now) {
            self.due.price += self.random.pause(30, 160);
            records.extend(self.price(at));
        }
        while let Some(at) = due(&mut self.due.order, now) {
            self.due.order += self.random.pause(150, 900);
            records.extend(self.order(at));
        }
        while let Some(at) = due(&mut self.due.log, now) {
            self.due.log += self.random.pause(80, 1_000);
            records.extend(self.log(at));
        }
        while let Some(at) = due(&mut self.due.chat, now) {
            self.due.chat += self.random.pause(9_000, 22_000);
            records.extend(self.chat(at));
        }
        while let Some(at) = due(&mut self.due.inbox, now) {
            self.due.inbox += self.random.pause(4_000, 12_000);
            records.push(self.note(at));
        }
        records
    }

    fn price(&mut self, now: i64) -> Option<SampleRecord> {
        let stock = self.random.index(self.stocks.len());
        let stock = self.stocks.get_mut(stock)?;
        // Steps of up to 0.4 %, small ones likelier, drawn a little towards the opening price: a day's run stays believable.
        let step = self.random.between(-40, 40) + self.random.between(-20, 20);
        let pull = (stock.open - stock.price) / 80;
        stock.price = (stock.price + stock.price * step / 15_000 + pull + step.signum()).max(1);
        stock.volume = stock.volume.saturating_add(self.random.between(1, 40) * 5);
        let value = json!({
            "symbol": stock.symbol,
            "name": stock.name,
            "price": f64::from(stock.price) / 100.0,
            "open": f64::from(stock.open) / 100.0,
            "volume": stock.volume,
            "time": now,
        });
        Some(record("prices", stock.symbol, "exchange", &value))
    }

    fn order(&mut self, now: i64) -> Option<SampleRecord> {
        let open = self.open_orders.len();
        let new = open < 6 || (open < 30 && self.random.between(1, 100) <= 30);
        let mut order = if new { self.place_order()? } else { self.take_open_order() };
        let status = STEPS.get(order.steps)?;
        order.steps += 1;
        let value = json!({
            "id": order.id,
            "region": order.region.name,
            "item": order.item,
            "quantity": order.quantity,
            "total": f64::from(order.cents) / 100.0,
            "currency": order.region.currency,
            "status": status,
            "time": now,
        });
        let record = record(order.region.topic, &order.id.to_string(), "shop", &value);
        if order.steps < STEPS.len() {
            self.open_orders.push(order);
        }
        Some(record)
    }

    fn place_order(&mut self) -> Option<Order> {
        let id = self.next_order;
        self.next_order += 1;
        let quantity = self.random.between(1, 4);
        Some(Order {
            id,
            region: REGIONS.get(self.random.index(REGIONS.len()))?,
            item: ITEMS.get(self.random.index(ITEMS.len()))?,
            quantity,
            cents: quantity * self.random.between(900, 24_000),
            steps: 0,
        })
    }

    fn take_open_order(&mut self) -> Order {
        let at = self.random.index(self.open_orders.len());
        self.open_orders.swap_remove(at)
    }

    fn log(&mut self, now: i64) -> Option<SampleRecord> {
        let (app, level, message) = LOG_LINES.get(self.random.index(LOG_LINES.len()))?;
        let message = message.replace("{}", &self.random.between(2, 900).to_string());
        let value = json!({ "app": app, "level": level, "message": message, "time": now });
        Some(record("logs", app, app, &value))
    }

    fn chat(&mut self, now: i64) -> Option<SampleRecord> {
        let (from, text) = TALK.get(self.talked % TALK.len())?;
        self.talked += 1;
        Some(record("chat", "lobby", from, &json!({ "from": from, "text": text, "time": now })))
    }

    fn note(&mut self, now: i64) -> SampleRecord {
        let order = self.next_order - 1;
        record(
            "inbox",
            "demo",
            "shop",
            &json!({ "title": format!("Order {order} is in good hands"), "time": now }),
        )
    }
}

/// The time at which the next record is due, if that is not after `now`.
fn due(next: &mut i64, now: i64) -> Option<i64> {
    if *next < now - LONGEST_GAP_MS {
        *next = now;
    }
    (*next <= now).then_some(*next)
}

fn record(topic: &'static str, key: &str, source: &str, value: &Value) -> SampleRecord {
    SampleRecord {
        topic,
        key: key.to_owned(),
        headers: vec![("source", source.to_owned())],
        value: value.to_string().into_bytes(),
    }
}

// === impl Random ===

impl Random {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 if `n` is 0.
    fn index(&mut self, n: usize) -> usize {
        let n = u64::try_from(n).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.draw() % n).unwrap_or_default()
    }

    /// A number from `low` to `high`, both included.
    fn between(&mut self, low: i32, high: i32) -> i32 {
        let span = usize::try_from(high - low).unwrap_or_default() + 1;
        low + i32::try_from(self.index(span)).unwrap_or_default()
    }

    /// Milliseconds, from `low` to `high`.
    fn pause(&mut self, low: i32, high: i32) -> i64 {
        i64::from(self.between(low, high))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    const START: i64 = 1_800_000_000_000;

    fn run(seed: u64, seconds: i64) -> Vec<SampleRecord> {
        let mut feed = SampleFeed::new(seed, START);
        (0..seconds * 1_000 / EVERY_MS).flat_map(|n| feed.next(START + n * EVERY_MS)).collect()
    }

    fn value(record: &SampleRecord) -> Value {
        serde_json::from_slice(&record.value).unwrap()
    }

    #[test]
    fn one_seed_gives_one_feed() {
        assert_eq!(run(7, 30), run(7, 30));
        assert_ne!(run(7, 30), run(8, 30));
    }

    #[test]
    fn every_topic_is_fed_soon_and_no_other() {
        let seen: HashSet<_> = run(1, 15).iter().map(|record| record.topic).collect();
        assert_eq!(seen, TOPICS.iter().map(|(topic, _)| *topic).collect());
    }

    #[test]
    fn prices_come_several_a_second_and_stay_near_their_opening() {
        let records = run(3, 3_600);
        let prices: Vec<_> = records.iter().filter(|record| record.topic == "prices").collect();
        assert!((8..15).contains(&(prices.len() / 3_600)), "{}", prices.len());
        assert_eq!(prices.iter().map(|record| &record.key).collect::<HashSet<_>>().len(), STOCKS.len());
        for price in prices {
            let value = value(price);
            let (price, open) = (value["price"].as_f64().unwrap(), value["open"].as_f64().unwrap());
            assert!((0.8..1.25).contains(&(price / open)), "{value}");
        }
    }

    #[test]
    fn an_order_goes_through_its_steps_in_its_region() {
        let mut orders: HashMap<String, (&str, usize)> = HashMap::new();
        for record in run(4, 600).iter().filter(|record| record.topic.starts_with("orders.")) {
            let order = orders.entry(record.key.clone()).or_insert((record.topic, 0));
            assert_eq!(order.0, record.topic);
            let value = value(record);
            assert_eq!(value["status"], STEPS[order.1]);
            assert_eq!(value["id"].to_string(), record.key);
            order.1 += 1;
        }
        assert!(orders.len() > 100);
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let mut feed = SampleFeed::new(5, START);
        feed.next(START);
        assert!(feed.next(START + 3_600_000).len() < 20);
    }
}
