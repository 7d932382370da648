"""What the browser module keeps of its places in rooms, and names at its next handshake."""

from support.page_modules import evaluate

FOLLOW = """async (load) => {
  const { RoomPlaces } = await load("vigil-events.js");
  const places = new RoomPlaces();
  const named = () => JSON.parse(JSON.stringify(places.named));
  const isNew = (historyId, historyRoom = "chat:a") => places.isNew({ historyId, historyRoom });
  const told = [];
  told.push([named(), isNew(1), places.isNew(undefined), places.isNew({ eventId: 1 })]);
  places.connected({ joined: { "chat:a": { historyId: 5, proof: "p" } } });
  told.push([named(), isNew(6), isNew(6), isNew(5), isNew(1, "chat:b")]);
  places.connected({ joined: { "chat:a": { historyId: 9, proof: "q" } } });
  told.push([named(), isNew(7)]);
  places.connected({ joined: { "chat:a": { historyId: 20, proof: "r" } }, rooms: ["chat:a"] });
  told.push([named(), isNew(20), isNew(21)]);
  places.entered({ room: "chat:b", historyId: 3, proof: "s", recovered: false });
  places.left({ room: "chat:a" });
  told.push([named()]);
  for (let n = 0; n < 300; n++) places.entered({ room: `chat:${n}`, historyId: n, proof: "", recovered: false });
  told.push([Object.keys(places.named).length]);
  return told;
}"""


def test_a_place_moves_with_each_event_stays_while_missed_ones_follow_and_starts_anew_otherwise() -> None:
    assert evaluate(FOLLOW, None) == [
        [{}, True, True, True],
        [{"chat:a": {"historyId": 5, "proof": "p"}}, True, False, False, True],
        [{"chat:a": {"historyId": 6, "proof": "q"}}, True],
        [{"chat:a": {"historyId": 20, "proof": "r"}}, False, True],
        [{"chat:b": {"historyId": 3, "proof": "s"}}],
        [256],
    ]
