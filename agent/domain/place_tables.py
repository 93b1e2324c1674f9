"""Tables of places: the states of area codes and postal codes, and the zones of states.

The phone-number library names one zone where a code or a state has two; these tables are curated and
it only adds. A postal code gives its whole state: a state that a zone line crosses has both zones.
"""

from bisect import bisect_right
from collections.abc import Mapping

EASTERN, CENTRAL, MOUNTAIN = "America/New_York", "America/Chicago", "America/Denver"
PACIFIC, ARIZONA = "America/Los_Angeles", "America/Phoenix"
INDIANA, DETROIT, BOISE = "America/Indiana/Indianapolis", "America/Detroit", "America/Boise"

# State → zones. What observes another zone in practice counts: West Wendover, Phenix City.
STATE_ZONES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("US-CT", "US-DC", "US-DE", "US-GA", "US-MA", "US-MD", "US-ME", "US-NC", "US-NH", "US-NJ",
         "US-NY", "US-OH", "US-PA", "US-RI", "US-SC", "US-VA", "US-VT", "US-WV"),
        (EASTERN,),
    ),
    **dict.fromkeys(
        ("US-AR", "US-IA", "US-IL", "US-LA", "US-MN", "US-MO", "US-MS", "US-OK", "US-WI"),
        (CENTRAL,),
    ),
    **dict.fromkeys(("US-CO", "US-MT", "US-NM", "US-UT", "US-WY"), (MOUNTAIN,)),
    **dict.fromkeys(("US-CA", "US-WA"), (PACIFIC,)),
    **dict.fromkeys(("US-KS", "US-ND", "US-NE", "US-SD", "US-TX"), (CENTRAL, MOUNTAIN)),
    "US-AK": ("America/Anchorage", "America/Adak"),
    "US-AL": (CENTRAL, EASTERN),
    "US-AZ": (ARIZONA, MOUNTAIN),
    "US-FL": (EASTERN, CENTRAL),
    "US-HI": ("Pacific/Honolulu",),
    "US-ID": (BOISE, PACIFIC),
    "US-IN": (INDIANA, CENTRAL),
    "US-KY": (EASTERN, CENTRAL),
    "US-MI": (DETROIT, CENTRAL),
    "US-NV": (PACIFIC, MOUNTAIN),
    "US-OR": (PACIFIC, MOUNTAIN),
    "US-TN": (CENTRAL, EASTERN),
    # territories: none of the fifty states' zones is theirs
    "US-AS": ("Pacific/Pago_Pago",),
    "US-GU": ("Pacific/Guam",),
    "US-MP": ("Pacific/Saipan",),
    "US-PR": ("America/Puerto_Rico",),
    "US-VI": ("America/St_Thomas",),
}  # fmt: skip

# Area codes that have more zones than the library says. Overlays have those of the code they overlay.
CODE_ZONES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("423", "729"), (EASTERN, CENTRAL)),
    **dict.fromkeys(("270", "364"), (CENTRAL, EASTERN)),
    "606": (EASTERN, CENTRAL),
    "219": (CENTRAL, INDIANA),
    "574": (INDIANA, CENTRAL),
    **dict.fromkeys(("812", "930"), (INDIANA, EASTERN, CENTRAL)),
    "906": (DETROIT, CENTRAL),
    "928": (ARIZONA, MOUNTAIN),
    **dict.fromkeys(("850", "448"), (CENTRAL, EASTERN)),
    **dict.fromkeys(("541", "458"), (PACIFIC, MOUNTAIN)),
    **dict.fromkeys(("208", "986"), (BOISE, PACIFIC)),
    **dict.fromkeys(("605", "701", "308", "620", "785"), (CENTRAL, MOUNTAIN)),
    "915": (MOUNTAIN, CENTRAL),
    "907": ("America/Anchorage", "America/Adak"),
    "334": (CENTRAL, EASTERN),
    "689": (EASTERN,),
    "775": (PACIFIC, MOUNTAIN),
    "807": ("America/Toronto", "America/Winnipeg"),
    **dict.fromkeys(
        ("250", "236", "672", "778", "257"),
        ("America/Vancouver", "America/Edmonton", "America/Fort_Nelson"),
    ),
    **dict.fromkeys(("709", "879"), ("America/St_Johns", "America/Goose_Bay")),
    **dict.fromkeys(("306", "639", "474"), ("America/Regina", "America/Edmonton")),
    **dict.fromkeys(("418", "581", "367"), ("America/Toronto", "America/Halifax")),
    "867": (
        "America/Whitehorse", "America/Edmonton", "America/Cambridge_Bay", "America/Rankin_Inlet",
        "America/Iqaluit", "America/Resolute",
    ),
}  # fmt: skip
TOLL_FREE = frozenset(("800", "833", "844", "855", "866", "877", "888"))

# Place → its area codes; those of New York City are asked for the city's pack as well.
_CODES: Mapping[str, str] = {
    "US-AK": "907",
    "US-AL": "205 251 256 334 659 938",
    "US-AR": "327 479 501 870",
    "US-AZ": "480 520 602 623 928",
    "US-CA":
        "209 213 279 310 323 341 350 369 408 415 424 442 510 530 559 562 619 626 628 650 "
        "657 661 669 707 714 738 747 760 805 818 820 831 840 858 909 916 925 949 951",
    "US-CO": "303 719 720 748 970 983",
    "US-CT": "203 475 860 959",
    "US-DC": "202 771",
    "US-DE": "302",
    "US-FL":
        "239 305 321 324 352 386 407 448 561 645 656 689 727 728 754 772 786 813 850 863 "
        "904 941 954",
    "US-GA": "229 404 470 478 678 706 762 770 912 943",
    "US-HI": "808",
    "US-IA": "319 515 563 641 712",
    "US-ID": "208 986",
    "US-IL": "217 224 309 312 331 447 464 618 630 708 730 773 779 815 847 872",
    "US-IN": "219 260 317 463 574 765 812 930",
    "US-KS": "316 620 785 913",
    "US-KY": "270 364 502 606 859",
    "US-LA": "225 318 337 504 985",
    "US-MA": "339 351 413 508 617 774 781 857 978",
    "US-MD": "227 240 301 410 443 667",
    "US-ME": "207",
    "US-MI": "231 248 269 313 517 586 616 734 810 906 947 989",
    "US-MN": "218 320 507 612 651 763 952",
    "US-MO": "235 314 417 557 573 636 660 816 975",
    "US-MS": "228 601 662 769",
    "US-MT": "406",
    "US-NC": "252 336 472 704 743 828 910 919 980 984",
    "US-ND": "701",
    "US-NE": "308 402 531",
    "US-NH": "603",
    "US-NJ": "201 551 609 640 732 848 856 862 908 973",
    "US-NM": "505 575",
    "US-NV": "702 725 775",
    "US-NY": "315 329 363 516 518 585 607 631 680 716 838 845 914 934",
    "US-NY-NYC": "212 332 347 646 718 917 929",
    "US-OH": "216 220 234 283 326 330 380 419 440 513 567 614 740 937",
    "US-OK": "405 539 572 580 918",
    "US-OR": "458 503 541 971",
    "US-PA": "215 223 267 272 412 445 484 570 582 610 717 724 814 835 878",
    "US-RI": "401",
    "US-SC": "803 821 839 843 854 864",
    "US-SD": "605",
    "US-TN": "423 729 615 629 731 865 901 931",
    "US-TX":
        "210 214 254 281 325 346 361 409 430 432 469 512 682 713 726 737 806 817 830 832 "
        "903 915 936 940 945 956 972 979",
    "US-UT": "385 435 801",
    "US-VA": "276 434 540 571 686 703 757 804 826 948",
    "US-VT": "802",
    "US-WA": "206 253 360 425 509 564",
    "US-WI": "262 274 353 414 534 608 715 920",
    "US-WV": "304 681",
    "US-WY": "307",
    "US-AS": "684",
    "US-GU": "671",
    "US-MP": "670",
    "US-PR": "787 939",
    "US-VI": "340",
    "AG": "268", "AI": "264", "BB": "246", "BM": "441", "BS": "242", "DM": "767", "DO": "809 829 849",
    "GD": "473", "JM": "658 876", "KN": "869", "KY": "345", "LC": "758", "MS": "664", "SX": "721",
    "TC": "649", "TT": "868", "VC": "784", "VG": "284",
    "CA":
        "204 226 236 249 250 257 263 289 306 343 354 365 367 368 382 403 416 418 428 431 437 438 "
        "450 460 468 474 506 514 519 548 579 581 584 587 604 613 639 647 672 683 705 709 742 753 "
        "778 780 782 807 819 825 867 873 879 902 905 942",
}  # fmt: skip
# Territories that have a country code of their own, and the law of the country they belong to.
TERRITORIES = {code: f"US-{code}" for code in ("AS", "GU", "MP", "PR", "VI")}
AREA_PLACES: Mapping[str, str] = {
    code: place.strip() for place, codes in _CODES.items() for code in codes.split()
}

# First three digits of a postal code from which on a state begins; "" is nobody's, or the military's.
_ZIPS = (
    (0, ""), (5, "NY"), (6, "PR"), (8, "VI"), (9, "PR"), (10, "MA"), (28, "RI"), (30, "NH"),
    (39, "ME"), (50, "VT"), (55, "MA"),
    (56, "VT"), (60, "CT"), (70, "NJ"), (90, ""), (100, "NY"), (150, "PA"), (197, "DE"), (200, "DC"),
    (201, "VA"), (202, "DC"), (206, "MD"), (220, "VA"), (247, "WV"), (270, "NC"), (290, "SC"),
    (300, "GA"), (320, "FL"), (340, ""), (341, "FL"), (350, "AL"), (370, "TN"), (386, "MS"),
    (398, "GA"), (400, "KY"), (430, "OH"), (460, "IN"), (480, "MI"), (500, "IA"), (530, "WI"),
    (550, "MN"), (569, "DC"), (570, "SD"), (580, "ND"), (590, "MT"), (600, "IL"), (630, "MO"),
    (660, "KS"), (680, "NE"), (700, "LA"), (716, "AR"), (730, "OK"), (733, "TX"), (734, "OK"),
    (750, "TX"), (800, "CO"), (820, "WY"), (832, "ID"), (840, "UT"), (850, "AZ"), (870, "NM"),
    (885, "TX"), (886, ""), (889, "NV"), (900, "CA"), (962, ""), (967, "HI"), (969, "GU"), (970, "OR"),
    (980, "WA"), (995, "AK"),
)  # fmt: skip
# Islands that share their first digits with others, some of them states of their own.
_ISLANDS = {
    "96799": "US-AS",
    **dict.fromkeys(("96939", "96940"), "PW"),
    **dict.fromkeys(("96941", "96942", "96943", "96944"), "FM"),
    **dict.fromkeys(("96950", "96951", "96952"), "US-MP"),
    **dict.fromkeys(("96960", "96970"), "MH"),
}
_STARTS = tuple(start for start, _ in _ZIPS)
_CITY = frozenset((100, 101, 102, 103, 104, 111, 112, 113, 114, 116))


def place_of_zip(code: str) -> str | None:
    """The state of a postal code of the United States, with the city where its rules differ."""
    digits = code.strip()[:5]
    if len(digits) != 5 or not (digits.isascii() and digits.isdecimal()):
        return None
    prefix = int(digits[:3])
    if prefix in _CITY or digits in ("11004", "11005"):
        return "US-NY-NYC"
    if digits in _ISLANDS:
        return _ISLANDS[digits]
    state = _ZIPS[bisect_right(_STARTS, prefix) - 1][1]
    return f"US-{state}" if state else None


def zones_of_place(place: str) -> tuple[str, ...]:
    """The zones of a state that the table knows; none for any other place."""
    return STATE_ZONES.get("-".join(place.split("-")[:2]), ())
