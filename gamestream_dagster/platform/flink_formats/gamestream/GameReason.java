package gamestream;

/** Why a game event is refused, in the order in which the reasons are tried (catalogue/game_rules.py). */
enum GameReason {
    NOT_UTF8,
    NOT_JSON,
    NOT_AVRO,
    NOT_AN_OBJECT,
    MISSING_FIELD,
    WRONG_TYPE,
    BAD_TIMESTAMP,
    FUTURE_TIMESTAMP,
    TOO_OLD,
    UNKNOWN_EVENT_TYPE,
    OUT_OF_RANGE,
    TOO_LARGE,
    BAD_TEXT
}
