"""What Pillow cannot write: `by_hand.tiles(48, 32)` as other programs encode it, in base 85.

JPEGs: `cjpeg` of libjpeg-turbo 2.1.5 (Debian 12), quality 90, with -arithmetic, -arithmetic -progressive, -sample 4x1,
1x2, 4x2, 2x2,1x2,2x1, -rgb, and a scans file "0; 1; 2;". AVIF: `avifenc` of libavif 0.11.1 (Debian 12), -y 444
--min 5 --max 10, with -d 10, -d 12, --irot 1.
"""

from __future__ import annotations

import base64

TEXT = {
    "arithmetic": (
        "|JeWF01!$>Nk#wx0RR9200961|JwjV00RO70|EjA0|NsD0|NvF2n7WM1O*BQ2L=cX3JeSj3JVJj4iXRz4iOFu3lJ6%5fc;@6%`B*7Z?^"
        "47!ni}6#v@*LjeN>1O)^I2?YfS6b%av6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6cqo-01*fPAOJ"
        "7}0U`hb5di}c0sqVZ3IGrg1pyEd1^?Or3<CiG0ucid06zfI%^-xH(z-0^QQa{6co~>ODINNdSZx)A%%f`oo;RSd|Je"
    ),
    "arithmetic, progressive": (
        "|JeWF01!$>Nk#wx0RR9200961|JwjV00RO70|EjA0|NsD0|NvF2n7WM1O*BQ2L=cX3JeSj3JVJj4iXRz4iOFu3lJ6%5fc;@6%`B*7Z?^"
        "47!ni}6#v@*LjeN>1O)^I2?YfS6b%av6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6cqo;01*fPAOJ"
        "7}0U`hb5di}c0sqVZ1^^HN5dYc$3<CiG0uTcb0005fs5d)%wg_37xtCO@Lnzj4TMxv!Mcz8)%%`I+|I7dc5C#9*00;pA009L8u>Z^e1Q"
        "7-Q+5iXv0|5a)0l@#v00a>Q|Jncu0RjO5KLNo1%m4%s1^?Or2mt{A20sF@|I7dc5C#9*00;pA00BQCu>aZs3<CiG0ssR5000pG0Mkp9f"
        "d9+@1Q7-Q+5iXv0|5a)5WxS;00a>Q|Jncu0RjO5KM=tG%m4%s1^?Or2mt{A0Y4D1|Je"
    ),
    "4:1:1": (
        "|JeWF01!$>Nk#wx0RR9200961|JwjV00RO70|EjA0|NsD0|NvF2n7WM1O*BQ2L=cX3JeSj3JVJj4iXRz4iOFu3lJ6%5fc;@6%`B*7Z?^"
        "47!ni}6#v@*LjeN>1O)^I2?YfS6b%av6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6cqo!01*fPAOJ"
        "7}0YLx)5di}c0sq7R7ytnQ0RaI30000000000000081qKQK!~hf!0RR910000000000000000RO}Q7y$tR0RaI30000000000000I92?"
        "q%O!~h==0099B0RR91000000000007L`@1_wfcg2BQ=|Jncy0|5X65d#qbKLDjfdK|$@FzD;9FI#M(KwQmJy%Fey6r&D}Dsg(-WeNi3Y"
        "My-xU>cZdbKv)b1y<Rx0g%*_#V`iUG`a8!V5-|T05Te%|Je"
    ),
    "4:4:0": (
        "|JeWF01!$>Nk#wx0RR9200961|JwjV00RO70|EjA0|NsD0|NvF2n7WM1O*BQ2L=cX3JeSj3JVJj4iXRz4iOFu3lJ6%5fc;@6%`B*7Z?^"
        "47!ni}6#v@*LjeN>1O)^I2?YfS6b%av6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6cqo!01*fPAOJ"
        "7}0TKWL5di}c0sq7R7XSeP0RaF20000000000000081quJe02B}b00000000000000000000|HJ?p0RaF50RaF20000000000000ID2n"
        "7lM!~hf#0RR910000000000000000RP$m3<CiG0ucid06zewM=3J^N25-yPz4Grca=a6eF^Jr04afvlCTEA(y0Ig|Je"
    ),
    "4:1:0": (
        "|JeWF01!$>Nk#wx0RR9200961|JwjV00RO70|EjA0|NsD0|NvF2n7WM1O*BQ2L=cX3JeSj3JVJj4iXRz4iOFu3lJ6%5fc;@6%`B*7Z?^"
        "47!ni}6#v@*LjeN>1O)^I2?YfS6b%av6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6cqo!01*fPAOJ"
        "7}0YU%*5di}c0sq7R7XSeP0RaF20000000000000081quJe02B}b00000000000000000000|HJ?o0RaF50RR91000000000000sjG2n"
        "qkh03Q(m0RagC000000000000000L<9u}2SR~@!NNoT+5ij#0RRFK0}%i}0Hs8FEFm6;Fj9;<E!P*Vwosq|CpoHf=u-k`6u>nw(&xdv7"
        "%H~SfB+1Jr~la"
    ),
    "three ratios": (
        "|JeWF01!$>Nk#wx0RR9200961|JwjV00RO70|EjA0|NsD0|NvF2n7WM1O*BQ2L=cX3JeSj3JVJj4iXRz4iOFu3lJ6%5fc;@6%`B*7Z?^"
        "47!ni}6#v@*LjeN>1O)^I2?YfS6b%av6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6cqo!01*fPAOJ"
        "7}0U`hb5&;7t0sq7R7XSeP0RaF20000000000000081quJe02B}b00000000000000000000|HJ?p0RaF50RaF20000000000000ID2n"
        "7lM!~hf#0RR910000000000000000RP$m3<CiG0ucid06zewKyrl4N1!z5wM7a7w;ojveE^<~v?+iX=t{=G4Jsr9|Je"
    ),
    "red, green, blue": (
        "|JeWT01iQ9Z(?NtWB>pF0095n07C!+0s;d90s{jB0|WyD1O*5M1q1{I3I_)U2n-4g3=0Yi3k?nu5Dg9y4hstq77!5=6crT}3=bC=78Do"
        "~6crTzzyJ{l03ZM`15yzHM-c!*5di<h02u%Q00RL50000000000000002M7rU1OLPT6c7Ob00000000000000000030+5ij#QUFH)LI4"
        "0i0J~}7H~@_ql$AhbQ)HgNHh~c$KoO%dlBf)-Y?IgrRK#^>0d&^+O#n#_J)~eWkz7$Y3#PZqXaY!a?IQvI*#"
    ),
    "a scan for each colour": (
        "|JeWF01!$>Nk#wx0RR9200961|JwjV00RO70|EjA0|NsD0|NvF2n7WM1O*BQ2L=cX3JeSj3JVJj4iXRz4iOFu3lJ6%5fc;@6%`B*7Z?^"
        "47!ni}6#v@*LjeN>1O)^I2?YfS6b%av6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6cqo!01*fPAOJ"
        "7}0U`hb5di}c0sq7R7ytnQ0RaI30000000000000081qKQK!~hf!0RR910000000000000000RP$m2mt{A06zewM0zMu-iY*2qtBsC4S"
        "^?$U~CWn!~hoo0RRI40000000000000002n7ZQ|HJ?k5di=I0000000000000000095m00;pB5dc2`iYHmR`W+Il|HJ?n0RaF5000000"
        "00000000000svL3ID_Z6cGUc00000000000000000030+5iXv0}%i}0A`h0RJ%oF5C7Q"
    ),
    "AVIF of 10 bits": (
        "0000WW^{RQVRmU|00000VRmU|ZE0pPZE0a<O+hh10002;ZDn*}000000000eXk=`10000000000aA{+7000000000000000Y-wU)c4=k"
        "+0000EaA|aH000000096103K;<Z({%e002Y)00962000010003R0000|0000eX=!d|000000096102*m-W@Q2Z00001003cjFfl`KY;S"
        "S^0001LX>f9I0000>X>en20000KX>)L8000000000m0000W0000GaA|mH000000}2WX0000CVRkV?fgnHt0000JV{dG7ZewhC0096E00"
        "w{n000+haBX1#00000000310R#a8g9HEo09tKiVRRAz3JEwBFZ&n>Xf%K_LlM9N2q1(2=|O)a-QvS^O&jo0F?!X#v$3YOx<bA%u$@D5Z"
        "18vnVBEGzDd5gVfrQ0Lr88&0x5^a3Fh}TGt7|}j"
    ),
    "AVIF of 12 bits": (
        "0000SW^{RQVRmU|00000VRmU|ZE0pPZE0a<0002;ZDn*}000000000eXk=`10000000000aA{+7000000000000000Y-wU)c4=k+0000"
        "EaA|aH000000096103K;<Z({%e002Y)00962000010003N0000|0000eX=!d|000000096102*m-W@Q2Z00001003cjFfl`KY;SS^000"
        "1LX>f9I0000>X>en20000KX>)L8000000000m0000W0000GaA|mH000000}Kod0000CVRkV?fk0pY0000JV{dG7ZewhC0096E00w{n00"
        "0+haBX1#00000000310R#a8g9HEo09tKiVRRAz3JF*hFZ&t-8VwLKLlM9N2q1(2=|O)a;?X&9{CG|%jefOusxWFW6_EOnEGKQgn?WTsU"
        "-m0y3L*|Y3c3zdopEM{e&o5!0|!{H6uP#U"
    ),
    "AVIF turned": (
        "0000WW^{RQVRmU|00000VRmU|ZE0pPZE0a<O+hh10002|ZDn*}000000000eXk=`10000000000aA{+7000000000000000Y-wU)c4=k"
        "+0000EaA|aH000000096103K;<Z({%e002Y)00962000010003b0000_0000eX=!d|000000096102*m-W@Q2Z00001003cjFfl`KY;S"
        "S^0001VX>f9I0000~X>en20000KX>)L8000000000m0000W0000GaA|mH000000|*ER0000CVRkV?fgk_?0000JV{dG7ZewhC0096E00"
        "w{n000STa&L420000OX>e^}0000000001009L70)qsF00012ZDe6|5&#MbI2AAZ2nc92fHFW4zySmhL;&eQe<enaoyzJTy}*;}RiYwCO"
        "Y()4ktj9hafP5!djTK|x9b#E{ypc%>a3_4H5oTHyQdw=WNu&"
    ),
}
FILES = {name: base64.b85decode(text) for name, text in TEXT.items()}
