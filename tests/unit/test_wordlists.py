"""Words and links are found however they are spelled; what helps a reader is left alone."""

import pytest

from agent.domain.content import THREATS
from agent.domain.folding import fold
from agent.domain.links import links
from agent.domain.wordlists import said
from agent.flows.rules import word_lists

PRESSING = {*THREATS, "urgency"}


def tags(locale: str, text: str) -> set[str]:
    """What the lists of a language find in a text, the debt aside."""
    return {one.tag for one in said(text, word_lists()[locale])} - {"debt"}


@pytest.mark.parametrize(
    ("locale", "text"),
    [
        ("en", "We will sue you for"),
        ("en", "Pay or be arrested"),
        ("en", "legal action follows"),
        ("en", "l e g a l a c t i o n"),
        ("en", "we s u e you"),
        ("en", "s.u.e. you"),
        ("en", "im-med-iate-ly pay"),
        ("en", "\uff49\uff4d\uff4d\uff45\uff44\uff49\uff41\uff54\uff45\uff4c\uff59"),
        ("en", "immedi\u200bately"),
        ("en", "\u0456mm\u0435di\u0430t\u0435ly"),
        ("en", "legal_action"),
        ("en", "leg4l act1on"),
        ("en", "We will tell your boss"),
        ("en", "your family will know"),
        ("en", "Final warning"),
        ("en", "Court orders follow"),
        ("en", "contact your employer"),
        ("en", "police will visit"),
        ("en", "Pay or face consequences"),
        ("en", "act now"),
        ("en", "we take you to COURT"),
        ("en", "You are a defaulter"),
        ("en", "URGENT pay"),
        ("en", "Legal  Action"),
        ("en", "legal\naction"),
        ("en", "a $ue? no: u r g e n t"),
        ("en", "law suit for"),
        ("en", "pr0secute"),
        ("en", "we will post your photo"),
        ("en", "last chance"),
        ("en", "within 2 hours"),
        ("en", "You have 24 hours to pay"),
        ("en", "We are sending someone to your home"),
        ("en", "Immediate payment required"),
        ("en", "Your name will be published"),
        ("en", "We know where you live"),
        ("en", "We will ruin your credit"),
        ("es", "Tiene 24 horas para pagar"),
        ("es", "Le enviaremos un cobrador a su casa"),
        ("id", "Anda punya waktu 24 jam"),
        ("zh-CN", "限您明天还清"),
        ("es", "Iniciaremos una demanda por"),
        ("es", "Pague o lo embargaremos"),
        ("es", "ACCION LEGAL"),
        ("es", "acción  legal"),
        ("es", "a c c i o n l e g a l"),
        ("es", "llamaremos a su jefe"),
        ("es", "avisaremos a su familia"),
        ("es", "urgente"),
        ("es", "último aviso"),
        ("es", "pague de inmediato"),
        ("es", "policia"),
        ("es", "\uff55\uff52\uff47\uff45\uff4e\uff54\uff45"),
        ("es", "urg\u200dente"),
        ("es", "será denunciado"),
        ("es", "lista negra"),
        ("es", "en 24 horas"),
        ("es", "cárcel"),
        ("es", "abogados"),
        ("es", "lo visitaremos"),
        ("es", "We will sue"),
        ("id", "Kami gugat Anda"),
        ("id", "bayar segera"),
        ("id", "jalur hukum"),
        ("id", "j.a.l.u.r hukum"),
        ("id", "lapor polisi"),
        ("id", "keluarga Anda akan kami hubungi"),
        ("id", "sebarkan data"),
        ("id", "dalam 24 jam"),
        ("id", "peringatan terakhir"),
        ("id", "s e g e r a"),
        ("id", "\uff53\uff45\uff47\uff45\uff52\uff41"),
        ("id", "seg\u200bera"),
        ("id", "daftar hitam"),
        ("id", "datang ke rumah"),
        ("id", "penjara"),
        ("id", "debt collector"),
        ("id", "pengadilan"),
        ("id", "disita"),
        ("id", "viralkan"),
        ("id", "sekarang juga"),
        ("zh-CN", "否则起诉"),
        ("zh-CN", "起 诉您"),
        ("zh-CN", "起.诉"),
        ("zh-CN", "起\u200b诉"),
        ("zh-CN", "将起訴您"),
        ("zh-CN", "告上法庭"),
        ("zh-CN", "立即还款"),
        ("zh-CN", "立 即还款"),
        ("zh-CN", "马上还"),
        ("zh-CN", "馬上还"),
        ("zh-CN", "联系您的家人"),
        ("zh-CN", "爆通讯录"),
        ("zh-CN", "上门催收"),
        ("zh-CN", "黑名单"),
        ("zh-CN", "２４小时内还"),
        ("zh-CN", "24 小时内"),
        ("zh-CN", "律师函"),
        ("zh-CN", "后果自负"),
        ("zh-CN", "公安"),
        ("zh-CN", "报警"),
        ("zh-CN", "通知单位领导"),
        ("zh-CN", "urgent"),
        ("zh-CN", "we will sue"),
        ("zh-CN", "最后通牒"),
        ("zh-CN", "法·院"),
        ("zh-CN", "法*院"),
        ("zh-CN", "强制执行"),
        ("zh-CN", "老赖"),
        ("zh-TW", "將提告"),
        ("zh-TW", "起 訴"),
        ("zh-TW", "起诉"),
        ("zh-TW", "立即繳款"),
        ("zh-TW", "馬上"),
        ("zh-TW", "马上"),
        ("zh-TW", "通知您的家人"),
        ("zh-TW", "通知公司主管"),
        ("zh-TW", "法院"),
        ("zh-TW", "法|院"),
        ("zh-TW", "24小時內"),
        ("zh-TW", "２４小時內"),
        ("zh-TW", "最後通牒"),
        ("zh-TW", "後果自負"),
        ("zh-TW", "后果自负"),
        ("zh-TW", "強制執行"),
        ("zh-TW", "扣薪"),
        ("zh-TW", "報警"),
        ("zh-TW", "黑名單"),
        ("zh-TW", "上門"),
    ],
)
def test_threats_and_urgency_are_found_however_they_are_written(locale: str, text: str) -> None:
    assert tags(locale, text) & PRESSING


@pytest.mark.parametrize(
    ("locale", "text"),
    [
        ("en", "top up"),
        ("en", "borrow again"),
        ("en", "special offer"),
        ("en", "b o n u s"),
        ("en", "pre-approved"),
        ("en", "disc0unt"),
        ("en", "new loan"),
        ("en", "apply now"),
        ("en", "higher limit"),
        ("en", "promo"),
        ("es", "nuevo préstamo"),
        ("es", "preaprobado"),
        ("es", "descuento"),
        ("es", "oferta"),
        ("es", "promoción"),
        ("es", "sorteo"),
        ("es", "solicite ya"),
        ("es", "mayor cupo"),
        ("es", "premio"),
        ("es", "sin intereses"),
        ("id", "pinjaman baru"),
        ("id", "promo"),
        ("id", "diskon"),
        ("id", "bonus"),
        ("id", "limit naik"),
        ("id", "hadiah"),
        ("id", "tanpa bunga"),
        ("id", "ajak teman"),
        ("id", "voucher"),
        ("id", "pinjam lagi"),
        ("zh-CN", "提额"),
        ("zh-CN", "新额度"),
        ("zh-CN", "优惠"),
        ("zh-CN", "再借"),
        ("zh-CN", "红包"),
        ("zh-CN", "抽奖"),
        ("zh-CN", "优 惠"),
        ("zh-CN", "優惠"),
        ("zh-CN", "推荐好友"),
        ("zh-CN", "限时"),
        ("zh-TW", "新額度"),
        ("zh-TW", "優惠"),
        ("zh-TW", "优惠"),
        ("zh-TW", "再借"),
        ("zh-TW", "紅包"),
        ("zh-TW", "抽獎"),
        ("zh-TW", "低利"),
        ("zh-TW", "推薦好友"),
        ("zh-TW", "限時"),
        ("zh-TW", "申請貸款"),
    ],
)
def test_sales_are_found(locale: str, text: str) -> None:
    assert "solicitation" in tags(locale, text)


@pytest.mark.parametrize(
    ("locale", "text"),
    [
        ("en", "If you cannot pay right now, reply."),
        ("en", "We reply within 24 hours about."),
        ("en", "If you lost your job, tell us about."),
        ("en", "It is not too late to agree a plan for."),
        ("en", "We can split it into smaller parts. Our office is open from 9 to 5."),
        ("en", "You can dispute it; we will check it."),
        ("zh-CN", "如需延期请回复，客服时间9点至17点"),
        ("id", "Kami belum menerima. Jika sudah membayar, terima kasih."),
        ("en", "You can pay now in the app."),
        ("en", "Please pay as soon as you can."),
        ("en", "Your courtesy is welcome:."),
        ("en", "The issue: was used twice?"),
        ("en", "If you suspect fraud about, call the number on your contract."),
        ("en", "Tell us if is wrong."),
        ("en", "Pay all in one or in parts."),
        ("en", "Thank you, arrived."),
        ("es", "Si no puede pagar ahora mismo, responda."),
        ("es", "Si perdio su empleo, hable con nosotros:."),
        ("es", "Su pago de vence hoy."),
        ("es", "Respondemos en 24 horas sobre."),
        ("es", "Puede pagar en cuotas."),
        ("es", "La fecha de corte de es hoy."),
        ("es", "Gracias por pagar."),
        ("es", "Su cuenta tiene por pagar."),
        ("es", "Llame gratis para hablar de."),
        ("es", "Diga si no es correcto."),
        ("id", "Jika tidak bisa membayar, balas pesan ini."),
        ("id", "Cicilan jatuh tempo."),
        ("id", "Terima kasih atas pembayaran."),
        ("id", "Hari terakhir untuk adalah hari ini."),
        ("id", "Anda dapat membayar di aplikasi."),
        ("id", "Balas untuk meminta tanggal lain:."),
        ("id", "Tim kami membantu soal."),
        ("id", "Jika keliru, beri tahu kami."),
        ("id", "Anda bisa top up saldo untuk."),
        ("id", "Kami jawab dalam 24 jam soal."),
        ("zh-CN", "您有的还款将到期。"),
        ("zh-CN", "如遇困难，请回复，。"),
        ("zh-CN", "我们会在24小时内答复您，。"),
        ("zh-CN", "如已还，请忽略。"),
        ("zh-CN", "请尽快还款。"),
        ("zh-CN", "您可分期还款。"),
        ("zh-CN", "如您不能马上还，请回复。"),
        ("zh-CN", "账户活动请在应用查看，。"),
        ("zh-CN", "对有异议请回复。"),
        ("zh-CN", "感谢您还款。"),
        ("zh-TW", "您有的款項將到期。"),
        ("zh-TW", "如有困難，請回覆，。"),
        ("zh-TW", "我們會在24小時內答覆您，。"),
        ("zh-TW", "若已繳，請忽略。"),
        ("zh-TW", "請儘快繳款。"),
        ("zh-TW", "您可分期繳。"),
        ("zh-TW", "若您無法馬上繳，請回覆。"),
        ("zh-TW", "帳戶活動請在應用程式查看，。"),
        ("zh-TW", "對有疑問請回覆。"),
        ("zh-TW", "感謝您繳款。"),
    ],
)
def test_what_helps_a_reader_is_no_threat_and_sells_nothing(locale: str, text: str) -> None:
    assert not tags(locale, text)


def test_what_is_found_is_shown_as_it_was_written() -> None:
    text = "Pay now, ｉｍ\u200bmediately or we s u e you"
    found = {one.words: one for one in said(text, word_lists()["en"]) if one.tag in PRESSING}
    assert set(found) == {"ｉｍ\u200bmediately", "s u e"}
    for words, one in found.items():
        assert text[one.position - 1 :].startswith(words)


def test_folding_keeps_the_place_of_every_character() -> None:
    folded = fold("ﬁne\u200b А１後")
    assert folded.text == "fine a1后"
    assert folded.at == (0, 0, 1, 2, 4, 5, 6, 7)


@pytest.mark.parametrize(
    ("text", "host", "plain"),
    [
        ("https://lender.example@evil.com/", "evil.com", False),
        ("https://l\u0435nder.example", "lender.example", False),
        ("https://xn--lnder-eva.example", "xn--lnder-eva.example", False),
        ("https://例子.中国/x", "例子.中国", False),
        ("https://lender.example/?u=https://evil.com", "lender.example", False),
        ("https://lender.example\\@evil.com", "lender.example", False),
        ("http://1.2.3.4/x", "1.2.3.4", False),
        ("1.2.3.4/x", "1.2.3.4", False),
        ("https://2130706433/", "2130706433", False),
        ("evil[.]com", "evil[.]com", False),
        ("ｂｉｔ．ｌｙ/abc", "bit.ly", False),
        ("bit.l\u200by/abc", "bit.ly", False),
        ("evil。com", "evil.com", False),
        ("myapp://pay", "pay", False),
        ("evil.ru", "evil.ru", True),
        ("WWW.EVIL.CO.ID", "www.evil.co.id", True),
        ("https://lender.example:8443/a", "lender.example", True),
        ("HTTPS://Lender.Example.", "lender.example", True),
    ],
)
def test_where_a_link_leads_is_read_as_a_phone_reads_it(text: str, host: str, plain: bool) -> None:
    (link,) = links(f"see {text} today")
    assert (link.host, link.plain) == (host, plain)


@pytest.mark.parametrize(
    "text",
    ["help@pay.lender.com", "9 a.m. to 5 p.m.", "e.g. 12.5.2026", "999.1.2.300", "Ltd. Thanks",
     "1.500.000", "请回复。谢谢", "N.Y."],
)  # fmt: skip
def test_what_only_looks_like_an_address_is_none(text: str) -> None:
    assert not list(links(text))
