"""Texts as a reader takes them in, whatever their code points are: one word, one spelling.

Width, case, accents and invisible characters fold away, letters of other alphabets that look Latin become
Latin ones, traditional Chinese characters become simplified ones. Each character keeps its place in the
text it came from, so that what is found can be shown as it was written.
"""

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

# Letters that look like a Latin one, in small letters: Cyrillic, Greek, Armenian, and Latin with a stroke.
_LOOKS = str.maketrans(
    "аеорсухіјѕһԁԛԝӏґёкмтнвгьαβεηικνορτυχωϲɩɡɑıłđøħŧօսոԍƅʀᴀᴄᴇᴋᴏᴛᴜᴠᴡᴢℓ",
    "aeopcyxijshdqwlrekmthbrbabenikvoptuxwcigaildohtounpbracekotuvwzl",
)
# The characters of the word lists, of links and of what stands around them.
_SIMPLIFIED = str.maketrans(
    "丟傳債儘優內兩凍則動務單嚴執報媽審專屬師帳廣張強徑恥應撥時書會機檢決滯無獄獎現產發盡監禮紀約紅納終結絡緊緝緩繳續罰聯聲職臉萬薦處親訂訊訟訪訴詐調請諸證負財責貸費貼資賣賬賴贈趕轉辦週違還鄰銷錄錢長門開閱闆項預領額餘饋馬騙"
    "劃網邊經偵團隊實區裡裏號厲舉懲戶庫評導級業傷偽體減淨創別刪勞勢勵華協衛歷壓廳縣雙變聽啟員國圖圓場壞備夠婦學寧寶寬對將層歲幣帶幫廢異棄彈歸當徹徵憶憂懷態總惡懸驚懼慣願懶戰擴掃揚撫拋搶護擔擬擁擇揮損換據"
    "復覆複繫騷擾給齊齡競筆簡簽縮織組細紙純紛級統絕給維綱緣練縱繼臨舊莊營蕭藝觀規覺計討訓記許設評詞試話該詳認語誤說課論識議讓貨販貿賀買貢質購賠賺賽車軍載輕較輛輸農這進遠適選遺邏醫銀鋪鎖鐘鐵閉間閒關際險雜離難電頁頂順須頓預頒頭題類顧飛飯飲館駕騎驗鬥點黨龍後於乾",
    "丢传债尽优内两冻则动务单严执报妈审专属师账广张强径耻应拨时书会机检决滞无狱奖现产发尽监礼纪约红纳终结络紧缉缓缴续罚联声职脸万荐处亲订讯讼访诉诈调请诸证负财责贷费贴资卖账赖赠赶转办周违还邻销录钱长门开阅板项预领额余馈马骗"
    "划网边经侦团队实区里里号厉举惩户库评导级业伤伪体减净创别删劳势励华协卫历压厅县双变听启员国图圆场坏备够妇学宁宝宽对将层岁币带帮废异弃弹归当彻征忆忧怀态总恶悬惊惧惯愿懒战扩扫扬抚抛抢护担拟拥择挥损换据"
    "复复复系骚扰给齐龄竞笔简签缩织组细纸纯纷级统绝给维纲缘练纵继临旧庄营萧艺观规觉计讨训记许设评词试话该详认语误说课论识议让货贩贸贺买贡质购赔赚赛车军载轻较辆输农这进远适选遗逻医银铺锁钟铁闭间闲关际险杂离难电页顶顺须顿预颁头题类顾飞饭饮馆驾骑验斗点党龙后于干",
)  # fmt: skip
# Nothing to see: joiners, marks, direction, fillers of Hangul, variation selectors.
_UNSEEN = frozenset({"Cf", "Mn", "Me", "Cc"})
_FILLERS = frozenset("\u115f\u1160\u3164\uffa0\u2800\u17b4\u17b5")
_BREAKS = frozenset("\n\r\t\f\v\x85")


class Folded(NamedTuple):
    """A folded text; `at` has the place in the original of each of its characters."""

    text: str
    at: tuple[int, ...]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where a passage of the folded text stands in the original."""
        return self.at[start], self.at[end - 1] + 1


def is_traditional(character: str) -> bool:
    """Whether a character is written otherwise in simplified Chinese; of those that texts here use."""
    return ord(character) in _SIMPLIFIED


def fold(text: str) -> Folded:
    """The text with one spelling for everything that looks alike."""
    letters: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        for letter in _folded(character):
            letters.append(letter)
            places.append(place)
    return Folded("".join(letters), tuple(places))


@lru_cache(maxsize=8192)
def _folded(character: str) -> str:
    if character in _BREAKS:
        return " "
    return "".join(_seen(character)).translate(_LOOKS).translate(_SIMPLIFIED)


def _seen(character: str) -> Iterator[str]:
    for letter in unicodedata.normalize("NFKD", character).casefold():
        if unicodedata.category(letter) not in _UNSEEN and letter not in _FILLERS:
            yield letter
