"""A provider's CSV is read as it comes, or refused with the line and what to do."""

import pytest

from tollway.ledger import invoice
from tollway.ledger.invoice import InvoiceError, Row, amount_of, day_of, read
from tollway.ledger.usage import day_key

HEADER = "Date,Model,Response ID,Input Tokens,Output Tokens,Cost (USD)\n"
ROW = "2026-11-22,gpt-4o,chatcmpl-1,10,5,0.000075\n"
DAY = day_of("2026-11-22")


def lines(*text: str) -> list[str]:
    return list(text)


def test_known_columns_are_found_by_their_names_whatever_their_case_and_signs() -> None:
    found = read(lines(HEADER, ROW))
    assert found.rows == [Row(2, "chatcmpl-1", DAY, "gpt-4o", 10, 5, 75_000)]
    assert found.columns == {
        "id": "Response ID",
        "day": "Date",
        "model": "Model",
        "prompt": "Input Tokens",
        "completion": "Output Tokens",
        "amount": "Cost (USD)",
    }


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_found_out_and_a_byte_order_mark_is_no_part_of_a_name(delimiter: str) -> None:
    text = [(line).replace(",", delimiter) for line in ("\ufeff" + HEADER, ROW)]
    assert read(text).rows == read(lines(HEADER, ROW)).rows
    assert read(text, delimiter=delimiter).rows == read(lines(HEADER, ROW)).rows


def test_of_several_known_names_the_surest_is_taken() -> None:
    assert read(lines("id,response_id,day,cost,amount\n", "x,y,2026-11-22,1,2\n")).rows[0].id == "y"
    assert read(lines("id,day,cost,amount\n", "x,2026-11-22,1,2\n")).rows[0].amount == 2 * 10**9


def test_a_column_can_be_named_and_can_be_left_out() -> None:
    text = lines("id,When,Billed,amount\n", "x,2026-11-22,3,4\n")
    found = read(text, named={"day": "when", "amount": "Billed", "id": ""})
    assert (found.rows[0].id, found.rows[0].day, found.rows[0].amount) == (None, DAY, 3 * 10**9)
    with pytest.raises(InvoiceError, match="it has no column 'whence'; it has id, When"):
        read(text, named={"day": "whence"})


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("", "it is empty"),
        ("day,model\n", "no column is known to be the amount: say --column amount=HEADER; it has day, model"),
        ("amount,thing\n", "no column is known to be the id, the day or the model"),
        ("day,amount,Amount\n", "two columns are called 'amount'"),
    ],
)
def test_a_header_that_does_not_say_enough_is_refused(header: str, said: str) -> None:
    with pytest.raises(InvoiceError, match=said):
        read(lines(header))


def test_empty_lines_are_passed_over_and_empty_cells_say_nothing() -> None:
    found = read(lines(HEADER, "\n", ",,,,,\n", ",gpt-4o,,,,1\n"))
    assert found.rows == [Row(4, "", None, "gpt-4o", None, None, 10**9)]


def test_rows_that_can_not_be_read_are_told_by_their_line_and_nothing_is_compared() -> None:
    bad = ["2026-11-22,m,x,ten,5,1\n", "30.11.2026,m,x,1,5,1\n", "2026-11-22,m,x\n", ",,,,,7\n", ROW]
    with pytest.raises(InvoiceError) as caught:
        read(lines(HEADER, *bad))
    assert str(caught.value) == (
        "line 2: 'ten' is no count of tokens; line 3: '30.11.2026' is no day: write 2026-11-30, or a time such as "
        "2026-11-30T12:00Z; line 4: has 3 fields, the header 6; line 5: has neither id, day nor model: if it is a "
        "total, take it out"
    )
    with pytest.raises(InvoiceError, match=r"line 6: .*; and 4 more rows$"):
        read(lines(HEADER, *["2026-11-22,m,x,ten,5,1\n"] * 9))


def test_the_line_of_a_row_is_that_of_the_file_when_a_cell_has_line_ends() -> None:
    with pytest.raises(InvoiceError, match=r"^line 4: amount: 'x' is no amount"):
        read(lines("day,note,amount\n", '2026-11-22,"a\n', 'b",1\n', "2026-11-22,c,x\n"))


def test_what_is_no_csv_or_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvoiceError, match="it is no CSV"):
        read(lines(HEADER, '"' + "x" * 200_000 + '"\n'))
    with pytest.raises(InvoiceError, match="model: is longer than 4096"):
        read(lines(HEADER, f"2026-11-22,{'x' * 5000},y,1,1,1\n"))
    monkeypatch.setattr(invoice, "ROWS_MAX", 2)
    with pytest.raises(InvoiceError, match="more than 2 rows: split it"):
        read(lines(HEADER, ROW, ROW, ROW))


def test_other_money_than_usd_is_refused() -> None:
    header = "day,amount,currency\n"
    assert [row.amount for row in read(lines(header, "2026-11-22,1,usd\n", "2026-11-22,1,\n")).rows] == [10**9] * 2
    with pytest.raises(InvoiceError, match="line 2: currency: 'EUR'; the books are in USD"):
        read(lines(header, "2026-11-22,1,EUR\n"))


@pytest.mark.parametrize(
    ("text", "nano", "decimals"),
    [
        ("1234.5", 1_234_500_000_000, 1),
        ("$0.10", 100_000_000, 2),
        ("US$ 2", 2_000_000_000, 0),
        ("USD 2.", 2_000_000_000, 0),
        ("2 USD", 2_000_000_000, 0),
        (".5", 500_000_000, 1),
        ("-1.25", -1_250_000_000, 2),
        ("-$1.25", -1_250_000_000, 2),
        ("$-1.25", -1_250_000_000, 2),
        ("1.2e-05", 12_000, 6),
        ("1E2", 100_000_000_000, 0),
        ("0.00012300000000000001", 123_000, 20),
        ("0.0000000005", 1, 10),
        ("0.0000000004", 0, 10),
    ],
)
def test_amounts_are_read_exactly(text: str, nano: int, decimals: int) -> None:
    assert amount_of(text) == (nano, decimals)


@pytest.mark.parametrize("text", ["", "x", "-", "$", ".", "--1", "-$-1", "1 000", "0x1", "NaN", "1e999", "€1", "1.2.3"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no amount in USD such as"):
        amount_of(text)


def test_thousands_separators_are_refused_and_a_decimal_comma_is_said() -> None:
    for text in ("1,234.50", "1,234", "0,5"):
        with pytest.raises(ValueError, match=r"has a comma: write 1234.50, without .* --decimal-comma"):
            amount_of(text)
    assert amount_of("1234,50", decimal_comma=True) == (1_234_500_000_000, 2)
    with pytest.raises(ValueError, match="has a point: write 1234,50"):
        amount_of("1.234,50", decimal_comma=True)
    with pytest.raises(ValueError, match="over 100 million USD"):
        amount_of("100000001")


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-11-30", "2026-11-30"),
        ("2026-11-30T23:59:59Z", "2026-11-30"),
        ("2026-11-30 23:59:59.123", "2026-11-30"),
        ("2026-11-30 23:59:59 UTC", "2026-11-30"),
        ("2026-11-30T23:30:00-02:00", "2026-12-01"),
        ("1796083199", "2026-11-30"),
        ("1796083199000", "2026-11-30"),
        ("1796083199.5", "2026-11-30"),
    ],
)
def test_days_are_utc_days(text: str, day: str) -> None:
    assert day_key(day_of(text)) == day


@pytest.mark.parametrize("text", ["11/30/2026", "yesterday", "2026-13-01", "2026-11-30T25:00", "123"])
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no day: write 2026-11-30"):
        day_of(text)


def test_a_day_of_another_century_is_refused() -> None:
    with pytest.raises(ValueError, match="no day of this century"):
        day_of("1970-01-01")


@pytest.mark.parametrize(
    ("amounts", "unit"),
    [(["1", "2"], 10_000_000), (["1.5"], 10_000_000), (["1.5", "0.000001"], 1000), (["1.0000000001"], 1)],
)
def test_the_last_decimal_of_an_invoice_is_what_its_amounts_may_be_off_by(amounts: list[str], unit: int) -> None:
    assert read(lines("day,amount\n", *(f"2026-11-22,{amount}\n" for amount in amounts))).unit == unit


def test_a_count_may_be_written_with_a_point() -> None:
    row = read(lines(HEADER, "2026-11-22,m,x,10.0,5,1\n")).rows[0]
    assert (row.prompt, row.completion) == (10, 5)
