"""What is printed on the benchmark's forms: each has words of its own, and one of them is in German, too."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """The words of a form: titles, the labels beside fields by the field's name, and whole sentences."""

    title: str
    edition: str
    sections: tuple[str, ...]
    labels: dict[str, str]
    sentences: tuple[str, ...]
    office_use: str
    signature: str

    def label(self, name: str) -> str:
        """The label of a field: its name, where no other is known."""
        return self.labels.get(name, name.replace("_", " ").capitalize())


TURNOUT = Words(
    "Return of the polling station",
    "Form T-14, edition {}",
    ("A  Station", "B  Turnout and count", "C  Account and reference", "D  Hours worked"),
    {
        "station": "Number of the station",
        "district": "District",
        "date": "Date of the poll (day, month, year)",
        "registered": "1  Voters on the register",
        "cards": "2  Polling cards handed in",
        "proxies": "2a  Votes cast by proxy",
        "ballots": "3  Ballot papers in the box",
        "spoilt": "4  Papers that are not valid",
        "empty": "5  Papers left blank",
        "valid": "6  Valid votes",
        "list_a": "6a  for List A, Harbour and Market",
        "list_b": "6b  for List B, Old Town Alliance",
        "list_c": "6c  for List C, Independent",
        "account": "Account to which expenses are paid",
        "reference": "Reference of this return",
        "officers": "Officers present",
        "hours": "Hours",
        "minutes": "Minutes",
    },
    (
        "Fill in this return in block figures, one in each box, with a black or blue pen.",
        "If you make a mistake, strike the figure out and write the right one on a new return.",
        "Leave boxes that you do not need empty, or cross them through.",
        "The return is read by a machine: do not fold it, and do not write outside the boxes.",
        "The presiding officer signs this page once the count has been agreed by all who were present.",
        "Papers on which more than one list is marked are not valid and are counted in line 4.",
        "Send the return to the district office on the evening of the poll, and keep a copy for a year.",
        "Line 3 is the sum of lines 4, 5 and 6; line 6 is the sum of the votes for each list.",
        "Whoever states figures knowingly wrong is liable to a fine under section 27 of the Act.",
        "Further copies of this form can be had from any district office free of charge.",
    ),
    "For office use only",
    "Place, date and signature of the presiding officer",
)

CLAIM = Words(
    "Claim for expenses on journeys",
    "Staff office S-7, edition {}",
    ("Person", "Journey", "Amounts in whole coins"),
    {"staff": "Staff number", "bank": "Account to pay to", "distance": "Distance by own car, kilometres"},
    (
        "Claims are paid with the wages of the month after next, if they arrive by the fifth.",
        "Fares are refunded against tickets, which are to be pinned to the back of the claim.",
        "Meals are refunded from the sixth hour of absence, lodging for at most nine nights.",
        "Distances are taken from the table of places that hangs in every office.",
        "Whoever drives a car of the company claims no distance, but states it all the same.",
        "A journey that was called off is claimed with the letter that called it off.",
        "Keep a copy; a claim that went astray can be made once more within the quarter.",
    ),
    "Checked by",
    "Signature of the traveller",
)

STOCK = Words(
    "Stocktaking list",
    "Warehouse W-2, edition {}",
    ("Place", "Articles counted", "Sum of the list"),
    {"depot": "Depot", "aisle": "Aisle", "bay": "Bay", "sum": "Sum of all articles on this list"},
    (
        "Two people count each aisle, one who calls out and one who writes.",
        "Write numbers from the right; an article that is not there is a zero.",
        "Broken and returned goods are counted on the yellow list, never here.",
        "Full pallets count as the number that is printed on their slip.",
        "Lists are handed in at the gate before the shift ends, used or not.",
        "Bays that were closed during the count are crossed through.",
    ),
    "Gate",
    "Names of both who counted",
)

ORDER = Words(
    "Order of spare parts",
    "Catalogue K-90, edition {}",
    ("Customer", "Parts by number", "Delivery"),
    {"customer": "Your customer number", "day": "Day on which we may deliver", "pieces": "Pieces in all"},
    (
        "Part numbers have seven figures; you find them on the plate beside the motor.",
        "Orders of more than thirty pieces are delivered free of carriage.",
        "Parts can be sent back within two weeks in their own packing.",
        "Without another wish we deliver on the next working day but one.",
        "Prices are those of the list in force on the day on which the order arrives.",
        "Please order oil and coolant on the green order, as they travel on another lorry.",
    ),
    "Stamp of the branch",
    "Date and signature of the customer",
)

METERS = Words(
    "Readings of meters",
    "Works M-31, edition {}",
    ("Household", "Meters in the cellar", "Meters in the flat", "Persons and rooms"),
    {"household": "Number of the household", "reader": "Number of the reader", "telephone": "Telephone by day"},
    (
        "Read all meters on the same day, and write the whole units only.",
        "Black figures count; the red ones behind the comma are left out.",
        "If a meter was changed, state the reading of the old one on the back.",
        "Readings that we do not have by the end of the month are estimated.",
        "The number of the household is printed on your last bill, upper right.",
        "Water for gardens has a meter of its own, which is read in autumn.",
        "Tell us by telephone if a seal is broken; do not mend it yourself.",
    ),
    "For the works",
    "Signature of the tenant",
)

TURNOUT_IN_GERMAN = Words(
    "Niederschrift des Wahllokals",
    "Vordruck T-14, Ausgabe {}",
    ("A  Wahllokal", "B  Beteiligung und Ergebnis", "C  Konto und Zeichen", "D  Arbeitszeit"),
    {
        "station": "Nummer des Wahllokals",
        "district": "Kreis",
        "date": "Tag der Wahl (Tag, Monat, Jahr)",
        "registered": "1  Eingetragene Personen",
        "cards": "2  Abgegebene Wahlscheine",
        "proxies": "2a  Stimmen durch Vertretung",
        "ballots": "3  Stimmzettel in der Urne",
        "spoilt": "4  davon nicht wertbar",
        "empty": "5  davon ohne Angabe",
        "valid": "6  Wertbare Stimmen",
        "list_a": "6a  Liste A, Hafen und Markt",
        "list_b": "6b  Liste B, Altstadt",
        "list_c": "6c  Liste C, ohne Partei",
        "account": "Konto zur Erstattung der Auslagen",
        "reference": "Zeichen dieser Niederschrift",
        "officers": "Anwesende Beisitzer",
        "hours": "Stunden",
        "minutes": "Minuten",
    },
    (
        "Tragen Sie je Feld eine Ziffer ein, mit schwarzem oder blauem Stift.",
        "Bei einem Irrtum streichen Sie die Ziffer durch und beginnen eine neue Niederschrift.",
        "Felder, die nicht gebraucht werden, bleiben leer oder werden durchgestrichen.",
        "Dieses Blatt wird von einer Maschine gelesen: bitte nicht falten und nicht neben die Felder schreiben.",
        "Der Vorsitz unterschreibt, sobald das Ergebnis von allen Anwesenden festgestellt ist.",
        "Zettel, auf denen mehr als eine Liste angekreuzt ist, werden in Zeile 4 mitgerechnet.",
        "Die Niederschrift geht am Abend der Wahl an das Kreisamt; eine Abschrift ist ein Jahr aufzuheben.",
        "Zeile 3 ist die Summe der Zeilen 4, 5 und 6; Zeile 6 die Summe der Stimmen aller Listen.",
        "Wer wissentlich falsche Zahlen angibt, handelt ordnungswidrig nach Paragraf 27 des Gesetzes.",
        "Weitere Vordrucke gibt jedes Kreisamt kostenlos ab.",
    ),
    "Nur vom Amt auszufüllen",
    "Ort, Datum und Unterschrift des Vorsitzes",
)
